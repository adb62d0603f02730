import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { engineConformance } from './conformance.ts'
import { temporaryDir } from './temporary.ts'

engineConformance('rocksdb', () => openRocksDb({ dir: temporaryDir() }))
