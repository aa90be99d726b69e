package distributed

import (
	"errors"
	"fmt"
	"time"
)

// ErrMessage is wrapped by the errors about messages that are not what they should be: damaged, too large, or of another job.
var ErrMessage = errors.New("distributed: bad message")

// A LedError says that another coordinator leads the same job.
type LedError struct {
	// By says which process it is: host and process id, as it wrote them.
	By string
}

// Error implements error.
func (e *LedError) Error() string {
	return fmt.Sprintf("distributed: %s coordinates this job on this server already; wait for its end, or use another server", e.By)
}

// A DisagreementError says that two answers to the same unit have different bits. At least one of the workers computes wrongly,
// or is another build than it says.
type DisagreementError struct {
	// Workers are the two workers, First the one whose answer was used.
	First, Second string
	// What is the unit.
	What string
}

// Error implements error.
func (e *DisagreementError) Error() string {
	return fmt.Sprintf("distributed: the workers %s and %s answered %s with different bits; end the one that is broken or of another build, then resume", e.First, e.Second, e.What)
}

// A WorkError says that two workers could not compute the same piece of work.
type WorkError struct {
	// Worker is the second of the workers, Text its error, and What the work.
	Worker, What, Text string
}

// Error implements error.
func (e *WorkError) Error() string {
	return fmt.Sprintf("distributed: %s: worker %s: %s", e.What, e.Worker, e.Text)
}

// A RefusedError says why a worker does not serve a job.
type RefusedError struct {
	// Reason is one of the constants Refused….
	Reason string
	// Here and There say what this worker has and what the job asks for.
	Here, There string
}

// The reasons for which a worker refuses a job.
const (
	RefusedProtocol = "protocol"
	RefusedBuild    = "build"
	RefusedData     = "data"
)

// Error implements error.
func (e *RefusedError) Error() string {
	switch e.Reason {
	case RefusedProtocol:
		return fmt.Sprintf("distributed: this worker speaks version %s of the protocol, the job %s; install the same version of the program on both", e.Here, e.There)
	case RefusedBuild:
		return fmt.Sprintf("distributed: this worker is %s, the job asks for %s: the bits could differ; the coordinator's --any-path accepts that", e.Here, e.There)
	}
	return fmt.Sprintf("distributed: this worker's data have the checksum %q, those of the job %q; give it the same data sets", e.Here, e.There)
}

// A stoppedError ends waiting for workers when the program is to end and no worker is there.
type stoppedError struct{ cause error }

func (e *stoppedError) Error() string {
	return "distributed: no worker is there to end the meta-step"
}
func (e *stoppedError) Unwrap() error { return e.cause }

const (
	// patience is the time that a request to the server may take before it is tried again.
	patience = 5 * time.Second
	// retryEvery is the time between two tries of something that failed, such as writing to a server whose disk is full.
	retryEvery = 500 * time.Millisecond
)
