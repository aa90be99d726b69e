// Package distributed computes the units of a meta-training, or the cells of a sweep, on many machines. The machines are connected by a server of NATS with JetStream, which keeps the queue of work, the answers and the shared data.
//
// One process is the coordinator: it holds the trainer, and an Executor sends the units of each meta-step to workers; a SweepCoordinator does
// so with the units of a sweep. A Worker
// serves every job that is announced on its server. Both may be started first, and workers may come and go. The result has the
// bits of a training in one process: each unit's result depends on the unit alone, and the trainer sums in the order of units.
//
// On the server, a job with the identity ID has
//
//	the stream metaopt-ID-work      subjects metaopt.ID.work.>, a queue: work.NAME for the worker NAME
//	the stream metaopt-ID-answers   subjects metaopt.ID.answer.>, each answer once, by its message id
//	the bucket metaopt-ID           the announcement (what is to be computed), and φ by its checksum
//	the object store metaopt-ID     optimizers from which a job starts or that it compares, and states of episodes, where one travels
//	the bucket metaopt-ID-lease     which coordinator leads; its lease ends when it is not renewed
//
// Coordinators and workers say that they are there by plain messages, several times a second: metaopt.job and metaopt.alive.
package distributed
