/** Entry of the fetch pool's threads. */
import { move } from 'piscina'
import { nodeFileSystem } from '../env/node-fs.ts'
import { type FetchPlan, readFrames } from './fetch-read.ts'

/** Answers a FetchReply; bytes are moved, not copied. */
export default function fetchFrames(plan: FetchPlan): unknown {
  const reply = readFrames(nodeFileSystem, plan)
  return reply instanceof Uint8Array ? move(reply) : reply
}
