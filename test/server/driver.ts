/** A placement driver in the test's own process. */
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { machineClock, machineRandom } from '../../src/base/node-clock.ts'
import { lockDataDirectory } from '../../src/env/data-dir.ts'
import { startPd } from '../../src/pd/server.ts'
import { temporaryDirectory } from './fixtures.ts'

/** A PD of its own, whose cluster begins with this many stores. */
export async function startDriver(stores: number): Promise<string> {
  const pd = await startPd({
    dir: join(temporaryDirectory(), 'pd'),
    clientAddr: '127.0.0.1:0',
    plan: { stores, regions: 4, replicas: 3 },
    lock: async (dir) => {
      const lock = await lockDataDirectory(dir)
      return () => lock.release()
    },
    clock: machineClock,
    random: machineRandom,
    logger: silentLogger,
  })
  onTestFinished(() => pd.close())
  return pd.address
}
