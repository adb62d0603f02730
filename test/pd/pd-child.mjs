// A placement driver in a process of its own, from the built code: pd-child.mjs <dir>

import { silentLogger } from '../../dist/base/logger.js'
import { machineClock, machineRandom } from '../../dist/base/node-clock.js'
import { startPd } from '../../dist/pd/server.js'

const server = await startPd({
  dir: process.argv[2],
  clientAddr: '127.0.0.1:0',
  clock: machineClock,
  random: machineRandom,
  logger: silentLogger,
})
process.send({ address: server.address })
process.on('message', () => process.send({ rssMiB: process.memoryUsage.rss() / 1024 / 1024 }))
