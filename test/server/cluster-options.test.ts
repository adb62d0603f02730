import { describe, expect, test } from 'vitest'
import { type ClusterOptions, checkOptions } from '../../src/server/cluster-options.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'

test('defaults', () => {
  expect(checkOptions({ dir: 'd' })).toMatchObject({
    dir: 'd',
    stores: undefined,
    regions: 1,
    joined: undefined,
    calls: { timeoutMs: 5000, retryWrites: true },
    config: defaultStoreConfig(),
  })
})

test.each([
  [undefined, 'openCluster takes its options as an object'],
  [{}, 'dir is a path, not undefined'],
  [{ dir: '' }, 'dir is a path, not ""'],
  [{ dir: 'd', logger: 5 }, 'logger has no debug()'],
  [{ dir: 'd', logger: null }, 'logger has no debug()'],
  [{ dir: 'd', onFatal: 5 }, 'onFatal is a function, not 5'],
  [{ dir: 'd', nosuch: 1 }, 'openCluster has no option "nosuch"'],
  [{ dir: 'd', timeoutms: 1 }, 'openCluster has no option "timeoutms"; did you mean "timeoutMs"?'],
  [{ dir: 'd', timeoutMs: Number.NaN }, 'timeoutMs is a time in ms, up to 24 days, not NaN'],
  [{ dir: 'd', timeoutMs: -1 }, 'timeoutMs is a time in ms, up to 24 days, not -1'],
  [{ dir: 'd', retryWrites: 'no' }, 'retryWrites is true or false, not "no"'],
  [{ dir: 'd', timeoutMs: '5' }, 'timeoutMs is a time in ms, up to 24 days, not "5"'],
  [{ dir: 'd', timeoutMs: '5s' }, 'timeoutMs is a time in ms, up to 24 days, not "5s"'],
])('refused: %j', (options, message) => {
  expect(() => checkOptions(options as ClusterOptions)).toThrow(
    expect.objectContaining({ code: 'InvalidArgument', message }),
  )
})

test('settings of the store are checked too', () => {
  const config = { raftHeartbeatTicks: 0 }
  expect(() => checkOptions({ dir: 'd', config })).toThrow(
    expect.objectContaining({ code: 'ConfigInvalid' }),
  )
})

function joined(options: object) {
  return checkOptions({ dir: 'd', ...options }).joined
}

describe('what is joined', () => {
  const addr = '127.0.0.1:0'

  test('nothing without addresses', () => {
    expect(joined({})).toBeUndefined()
  })

  test.each([
    ['a:1', ['a:1']],
    ['a:1,b:2, c:3', ['a:1', 'b:2', 'c:3']],
    [
      ['a:1', 'http://b:2/'],
      ['a:1', 'b:2'],
    ],
  ])('placement drivers %j', (pd, endpoints) => {
    expect(joined({ addr, pd })).toEqual({ addr, pd: endpoints })
  })

  test.each([
    [{ addr }, 'to join a cluster give both addr and pd'],
    [{ pd: 'a:1' }, 'to join a cluster give both addr and pd'],
    [{ addr, pd: [1] }, 'pd is a list of addresses, not [1]'],
    [{ addr, pd: [] }, 'pd names no placement driver'],
    [{ addr, pd: '' }, 'pd: "" is not an address of form host:port'],
    [{ addr, pd: 'a:1,b' }, 'pd: "b" is not an address of form host:port'],
    [{ addr: 'here', pd: 'a:1' }, 'addr: "here" is not an address of form host:port'],
    [
      { addr: '0.0.0.0:1', pd: 'a:1' },
      'addr is what others are told: 0.0.0.0:1 stands for every interface, name one',
    ],
  ])('not %j', (options, message) => {
    expect(() => joined(options)).toThrow(
      expect.objectContaining({ code: 'InvalidArgument', message }),
    )
  })
})
