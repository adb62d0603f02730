/**
 * The settings of a store that a program gives: under the names of StoreConfig, as numbers of
 * milliseconds and bytes, with the limits that they have in a TOML file.
 */
import { PolyraftError } from '../base/errors.ts'
import { didYouMean } from '../base/suggest.ts'
import { defaultStoreConfig, type StoreConfig } from '../store/config.ts'
import { STORE_FIELDS, storeSetting } from './config-settings.ts'
import { checkGivenValue, describeValue, isTable } from './config-values.ts'
import { brokenRelation } from './store-relations.ts'

/** Rejects what is not understood or out of range with ConfigInvalid. */
export function embeddedConfig(given: Partial<StoreConfig> = {}): StoreConfig {
  if (!isTable(given)) throw invalid(`config: expected an object, found ${describeValue(given)}`)
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  for (const [field, value] of entries) {
    mustBeField(field)
    const parsed = checkGivenValue(storeSetting(field), value)
    if ('problem' in parsed) throw invalid(`config.${field}: ${parsed.problem}`)
  }
  const config = { ...defaultStoreConfig(), ...Object.fromEntries(entries) }
  const broken = brokenRelation(config, (field) => field)
  if (broken !== undefined) throw invalid(`config.${broken.field} ${broken.problem}`)
  return config
}

function mustBeField(field: string): asserts field is keyof StoreConfig {
  const known: readonly string[] = STORE_FIELDS
  if (known.includes(field)) return
  throw invalid(`config.${field}: there is no such setting${didYouMean(field, known)}`)
}

function invalid(problem: string): PolyraftError {
  return new PolyraftError('ConfigInvalid', problem)
}
