import { describe, expect, test } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { STORE_FIELDS } from '../../src/server/config-settings.ts'
import { embeddedConfig } from '../../src/server/embedded-config.ts'
import { defaultStoreConfig, mustBeSafeConfig, type StoreConfig } from '../../src/store/config.ts'

test('what is left out has its default', () => {
  expect(embeddedConfig()).toEqual(defaultStoreConfig())
  const given = { raftEntryMaxSize: MIB, reserveSpaceBytes: 0, hibernateRegions: false } as const
  expect(embeddedConfig(given)).toEqual({ ...defaultStoreConfig(), ...given })
  expect(embeddedConfig({ applyPoolSize: undefined } as object)).toEqual(defaultStoreConfig())
})

test('every default, given, is taken', () => {
  for (const field of STORE_FIELDS) {
    const given = { [field]: defaultStoreConfig()[field] }
    expect(embeddedConfig(given)).toEqual(defaultStoreConfig())
  }
})

describe('refused', () => {
  test.each([
    [
      { raftHeartbeatTicks: 100 },
      'config.raftHeartbeatTicks must be below raftElectionTimeoutTicks',
    ],
    [
      { raftStoreMaxLeaderLeaseMs: 950 },
      'config.raftStoreMaxLeaderLeaseMs must be at least one tick shorter than the election time-out (1000 ms)',
    ],
    [
      { inflightBytesMax: MIB },
      'config.inflightBytesMax must hold at least one entry of raftEntryMaxSize',
    ],
    [{ applyPoolSize: 0 }, 'config.applyPoolSize: at least 1 is needed'],
    [{ raftMaxInflightMsgs: 0 }, 'config.raftMaxInflightMsgs: at least 1 is needed'],
    [{ raftLogSegmentBytes: 1 }, 'config.raftLogSegmentBytes: at least 4KiB is needed'],
    [{ reserveSpaceBytes: -1 }, 'config.reserveSpaceBytes: at least 0B is needed'],
    [{ snapGcTimeoutMs: 2 ** 31 }, 'config.snapGcTimeoutMs: at most 24d is allowed'],
    [
      { raftBaseTickIntervalMs: '1s' },
      'config.raftBaseTickIntervalMs: expected a whole number of milliseconds, found "1s"',
    ],
    [
      { raftEntryMaxSize: Number.NaN },
      'config.raftEntryMaxSize: expected a whole number of bytes, found NaN',
    ],
    [
      { rocksdbBlockCacheBytes: '1MiB' },
      'config.rocksdbBlockCacheBytes: expected a whole number of bytes, or "auto", found "1MiB"',
    ],
    [{ applyPoolSize: 1n }, 'config.applyPoolSize: expected a whole number, found 1'],
    [{ hibernateRegions: 1 }, 'config.hibernateRegions: expected true or false, found 1'],
    [
      { rocksdbOptionSet: 'lage' },
      'config.rocksdbOptionSet: expected one of small, large, found "lage"; did you mean "large"?',
    ],
    [
      { applyPoolsize: 1 },
      'config.applyPoolsize: there is no such setting; did you mean "applyPoolSize"?',
    ],
    [[], 'config: expected an object, found []'],
    [null, 'config: expected an object, found null'],
  ])('%o', (given, message) => {
    expect(() => embeddedConfig(given as Partial<StoreConfig>)).toThrow(
      expect.objectContaining({ code: 'ConfigInvalid', message }),
    )
  })

  test('all that a store asserts', () => {
    for (const field of STORE_FIELDS) {
      for (const value of [0, 1, 1000, 2 ** 40]) {
        const given = { ...defaultStoreConfig(), [field]: value }
        try {
          mustBeSafeConfig(given)
        } catch {
          expect(() => embeddedConfig(given), `${field} ${value}`).toThrow()
        }
      }
    }
  })
})
