import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'

/** A port that was free a moment ago, so nothing listens there. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

test('no placement driver: Unavailable, naming it, within the time-out', async () => {
  const pd = `127.0.0.1:${await freePort()}`
  const began = performance.now()
  await expect(connect({ pd, timeoutMs: 300 })).rejects.toMatchObject({
    code: 'Unavailable',
    message: expect.stringContaining(pd),
  })
  expect(performance.now() - began).toBeLessThan(3000)
})

test('a list of placement drivers may have spaces', async () => {
  const refused = connect({ pd: '127.0.0.1:1, http://127.0.0.1:2/ ', timeoutMs: 300 })
  await expect(refused).rejects.toMatchObject({ code: 'Unavailable' })
})

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('timeoutMs %d', async (timeoutMs) => {
  const refused = connect({ pd: '127.0.0.1:1', timeoutMs })
  await expect(refused).rejects.toMatchObject({ code: 'InvalidArgument' })
})

test.each([undefined, 5, [], {}, [5]])('placement drivers %j', async (pd) => {
  await expect(connect({ pd } as never)).rejects.toMatchObject({
    name: 'PolyraftError',
    code: expect.stringMatching(/^(InvalidArgument|ConfigInvalid)$/),
  })
})

test.each([
  [undefined, 'connect takes its options as an object'],
  ['127.0.0.1:1', 'connect takes its options as an object'],
  [
    { pd: '127.0.0.1:1', timeoutms: 1 },
    'connect has no option "timeoutms"; did you mean "timeoutMs"?',
  ],
])('options %j', async (options, message) => {
  const refused = { name: 'PolyraftError', code: 'InvalidArgument', message }
  await expect(connect(options as never)).rejects.toMatchObject(refused)
})
