/** A commented TOML file of all settings: the sample, and what /config shows. */
import type { ConfigValues } from './config.ts'
import { keyOf, SETTINGS, sectionOf } from './config-settings.ts'
import { formatNumber, formatValue } from './config-values.ts'

export function sampleConfig(): string {
  const intro = [
    '# Settings of `polyraft server`, each with its default. Times have units (ms, s, m, h),',
    '# sizes too (KiB, MiB, GiB). Flags win over this file.',
  ]
  const defaults = new Map(SETTINGS.map((each) => [each.name, each.default]))
  return `${intro.join('\n')}\n${writeToml(defaults, true)}`
}

/** TOML of `values`, with comments or without. */
export function writeToml(values: ConfigValues, commented: boolean): string {
  const lines: string[] = []
  let section = ''
  for (const setting of SETTINGS) {
    if (sectionOf(setting) !== section) {
      section = sectionOf(setting)
      lines.push('', `[${section}]`)
    }
    if (commented) lines.push(`# ${setting.about}`)
    lines.push(`${keyOf(setting)} = ${formatValue(setting, values.get(setting.name)!)}`)
  }
  return `${lines.join('\n')}\n`
}

/** Section → key → value, as the status server shows it. */
export function configJson(values: ConfigValues): Record<string, Record<string, unknown>> {
  const json: Record<string, Record<string, unknown>> = {}
  for (const setting of SETTINGS) {
    const section = json[sectionOf(setting)] ?? {}
    json[sectionOf(setting)] = section
    const value = values.get(setting.name)!
    const plain = typeof value === 'number' && setting.kind !== 'count'
    section[keyOf(setting)] = plain ? formatNumber(setting, value) : value
  }
  return json
}
