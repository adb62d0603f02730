import { describe, expect, test } from 'vitest'
import { type ClusterOptions, joinAddresses } from '../../src/server/cluster-options.ts'

function joined(options: Omit<ClusterOptions, 'dir'>) {
  return joinAddresses({ dir: 'd', ...options })
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
