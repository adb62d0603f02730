/**
 * The directories of a cluster, for one supervisor at a time. Processes whose supervisor was killed
 * live on and hold their own directories: they are found before anything is written.
 */
import { existsSync } from 'node:fs'
import { makeDataDir } from '../base/data-dir.ts'
import { lockDirectory } from '../env/dir-lock.ts'
import type { DirectoryLock } from '../env/port.ts'
import type { ClusterPlan } from './cluster-plan.ts'

/** Makes the directories; rejects with DataDirLocked when any of them is in use. */
export async function claimDirectories(plan: ClusterPlan): Promise<DirectoryLock> {
  await makeDataDir(plan.dir, '--dir')
  const lock = await lockDirectory(plan.dir)
  const parts = [plan.pdDir, ...plan.stores.map((store) => store.dir)]
  try {
    for (const dir of parts.filter((each) => existsSync(each))) await mustBeFree(dir)
    for (const dir of parts) await makeDataDir(dir, '--data-dir')
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function mustBeFree(dir: string): Promise<void> {
  await makeDataDir(dir, '--data-dir')
  const lock = await lockDirectory(dir)
  await lock.release()
}
