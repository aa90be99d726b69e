// Program owntask is the command metaopt with one more task, logistic: meta-train, compare, sweep, check-gradient, verify and the
// dashboard know it by name, as they know the library's tasks.
//
//	go build -o metaopt ./examples/owntask
//	./metaopt meta-train --task logistic --dims 3,5,8 --meta-steps 400
package main

import "learnedopt/command"

func main() { command.Main(Task) }
