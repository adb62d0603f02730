import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { PeerMetrics } from '../../src/peer/metrics.ts'
import { formatMetrics } from '../../src/server/metrics.ts'
import { type StatusServer, startStatusServer } from '../../src/server/status-server.ts'
import { FakeStore, occupiedPort, region } from './fixtures.ts'

const hostile = region(9, '<script>alert(1)</script>', '"quoted"')
let store: FakeStore
let server: StatusServer

beforeEach(async () => {
  store = new FakeStore([region(7, '', 'm'), hostile])
  server = await startStatusServer({
    listen: { host: '127.0.0.1', port: 0 },
    store,
    facts: () => ({ version: '1.2.3', labels: { zone: '<b>' } }),
    config: { server: { addr: 'a:1' } },
    metrics: () => ({ transport_links_out: 2 }),
    logger: silentLogger,
  })
})
afterEach(() => server.close())

function get(path: string, method = 'GET'): Promise<Response> {
  return fetch(`http://${server.address}${path}`, { method })
}

test('/ready follows the store', async () => {
  expect((await get('/ready')).status).toBe(200)
  store.ready = false
  const response = await get('/ready')
  expect(response.status).toBe(503)
  expect(await response.text()).toBe('not ready\n')
})

test('/status and /config are JSON', async () => {
  expect(await (await get('/status')).json()).toEqual({
    version: '1.2.3',
    labels: { zone: '<b>' },
    clusterId: 5,
    storeId: 1,
    ready: true,
    regionCount: 2,
    leaderCount: 1,
  })
  expect(await (await get('/config')).json()).toEqual({ server: { addr: 'a:1' } })
})

test('/metrics has the figures of store, transport and process', async () => {
  const response = await get('/metrics')
  expect(response.headers.get('content-type')).toContain('text/plain')
  const text = await response.text()
  expect(text).toContain('# TYPE polyraft_writes_total counter\npolyraft_writes_total 3\n')
  expect(text).toContain(
    '# TYPE polyraft_engine_size_bytes gauge\npolyraft_engine_size_bytes 4.5\n',
  )
  expect(text).toContain('polyraft_transport_links_out 2\n')
  expect(text).toMatch(/^# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total \d/m)
  expect(text).toMatch(/^process_resident_memory_bytes \d+/m)
  expect(text).toMatch(/^nodejs_eventloop_delay_p99_seconds /m)
})

test('figures that only grow are counters by type and name', () => {
  expect(formatMetrics({ proposals: 3, region_count: 2, transport_frames_sent_total: 1 })).toBe(
    '# TYPE polyraft_proposals_total counter\npolyraft_proposals_total 3\n' +
      '# TYPE polyraft_region_count gauge\npolyraft_region_count 2\n' +
      '# TYPE polyraft_transport_frames_sent_total counter\npolyraft_transport_frames_sent_total 1\n',
  )
})

test('every counter of the peers is a counter in /metrics', () => {
  const names = Object.keys(new PeerMetrics()).map((name) =>
    name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
  )
  const text = formatMetrics(Object.fromEntries(names.map((name) => [name, 1])))
  expect(text).not.toContain('gauge')
})

test('/metrics tells how late the event loop was since it was read last', async () => {
  const longest = async (): Promise<number> => {
    const text = await (await get('/metrics')).text()
    return Number(/^nodejs_eventloop_delay_max_seconds (\S+)$/m.exec(text)![1])
  }
  // The monitor's own timer has to fire before the loop is blocked, and after.
  const monitorFires = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 120))
  await longest()
  await monitorFires()
  const untilMs = performance.now() + 300
  while (performance.now() < untilMs);
  await monitorFires()
  expect(await longest()).toBeGreaterThan(0.2)
})

describe('/region/:id', () => {
  test('shows keys in hex and readable', async () => {
    const body = await (await get('/region/7')).json()
    expect(body).toMatchObject({
      id: 7,
      endKey: '6D',
      endKeyText: 'm',
      role: 'leader',
      peers: [
        { id: 71, storeId: 1, role: 'voter' },
        { id: 72, storeId: 2, role: 'learner' },
      ],
    })
  })

  test.each(['/region/404', '/region/x', '/region/', '/nothing', '/region/99999999999999999999'])(
    '%s is not there',
    async (path) => {
      expect((await get(path)).status).toBe(404)
    },
  )
})

test('the page lists regions, and escapes what users wrote', async () => {
  const response = await get('/')
  expect(response.headers.get('content-type')).toContain('text/html')
  const html = await response.text()
  expect(html).toContain('polyraft store 1')
  expect(html).toContain('<a href="/region/7">7</a>')
  expect(html).toContain('72 on store 2 learner')
  // Of the leader, rather than the id of its peer.
  expect(html).toContain('<td>leader</td><td>store 1</td>')
  expect(html).not.toContain('<script')
  expect(html).not.toContain('<b>')
  expect(html).toContain('&#60;script&#62;')
})

test('only GET and HEAD', async () => {
  expect((await get('/status', 'POST')).status).toBe(405)
  const head = await get('/status', 'HEAD')
  expect(head.status).toBe(200)
  expect(await head.text()).toBe('')
})

test('a port in use is told with its flag', async () => {
  const port = await occupiedPort()
  const start = startStatusServer({
    listen: { host: '127.0.0.1', port },
    store,
    facts: () => ({}),
    config: {},
    metrics: () => ({}),
    logger: silentLogger,
  })
  await expect(start).rejects.toThrow(`127.0.0.1:${port} (--status-addr) is in use`)
})
