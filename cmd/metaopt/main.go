// Command metaopt meta-trains learned optimizers, compares them with tuned hand-designed optimizers, and shows what is in
// their files.
package main

import "learnedopt/command"

func main() { command.Main() }
