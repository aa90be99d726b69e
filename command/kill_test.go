package command

import (
	"os"
	"strconv"
)

// defaultKills is the number of kills in a test run. METAOPT_KILLS=200 is the full number.
const defaultKills = 10

func kills() int {
	if n, err := strconv.Atoi(os.Getenv("METAOPT_KILLS")); err == nil && n > 0 {
		return n
	}
	return defaultKills
}
