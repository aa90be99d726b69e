package distributed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/recipe"
	"learnedopt/sweep"
)

// A Build is what decides the bits of a result, beside the job.
type Build struct {
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"`
}

// HereBuild returns the build of this process.
func HereBuild() Build {
	return Build{Version: metaopt.Version(), Arch: runtime.GOARCH, Kernels: simd.Float32().Path}
}

// String returns the build as text: version, architecture and kernels.
func (b Build) String() string {
	return fmt.Sprintf("version %s on %s with the kernels %s", b.Version, b.Arch, b.Kernels)
}

// A job is the announcement of a training or a sweep, of which the workers make what they need.
type job struct {
	Protocol int    `json:"protocol"`
	Kind     string `json:"kind"`
	Build    Build  `json:"build"`
	// AnyPath accepts workers of another build.
	AnyPath bool `json:"any_path,omitzero"`
	// Data is the checksum of the data sets, "" if there are none in files.
	Data string `json:"data,omitzero"`
	// Lease is the time after which a silent worker's work goes to others.
	Lease recipe.Duration `json:"lease"`
	// Recipe is the training, or Sweep the sweep. Objects names what else is needed, in the job's object store: the optimizer from which
	// the training starts, or those of the sweep.
	Recipe  *recipe.Recipe `json:"recipe,omitempty"`
	Sweep   *sweep.Config  `json:"sweep,omitempty"`
	Objects []string       `json:"objects,omitempty"`
}

// The kinds of jobs.
const (
	trainingKind = "training"
	sweepKind    = "sweep"
)

// atATime returns how many pieces a worker computes at a time, of the number that it offers. A cell of a sweep uses all cores by itself.
func (j *job) atATime(slots int) int {
	if j.Kind == sweepKind {
		return 1
	}
	return slots
}

// maxJob is the largest announcement, in bytes.
const maxJob = 1 << 18

// id identifies a job: equal trainings have the same, whoever coordinates them.
func (j job) id() (string, error) {
	j.Lease, j.Build = 0, Build{}
	data, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	return digestOf(data)[:16], nil
}

// readJob reads an announcement. The version of the protocol comes first: what else there is depends on it.
func readJob(data []byte) (j job, err error) {
	bad := func(err error) (job, error) { return job{}, fmt.Errorf("%w: an announcement: %w", ErrMessage, err) }
	if len(data) > maxJob {
		return bad(fmt.Errorf("%d bytes, at most %d", len(data), maxJob))
	}
	var version struct {
		Protocol int `json:"protocol"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return bad(err)
	}
	if version.Protocol != Protocol {
		return job{}, &RefusedError{Reason: RefusedProtocol, Here: fmt.Sprint(Protocol), There: fmt.Sprint(version.Protocol)}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return bad(err)
	}
	if lease := time.Duration(j.Lease); lease < minLease || lease > maxLease {
		return bad(fmt.Errorf("a lease of %v; it is %v to %v", lease, minLease, maxLease))
	}
	for _, name := range j.Objects {
		if !validName(name) {
			return bad(fmt.Errorf("the object %.80q", name))
		}
	}
	switch {
	case j.Kind == trainingKind && j.Recipe != nil && j.Sweep == nil:
		err = j.Recipe.Validate()
	case j.Kind == sweepKind && j.Sweep != nil && j.Recipe == nil:
		if err = j.Sweep.Validate(); err == nil && len(j.Objects) != len(j.Sweep.Learned) {
			err = fmt.Errorf("%d objects for %d learned rules", len(j.Objects), len(j.Sweep.Learned))
		}
	default:
		err = fmt.Errorf("the kind %.20q", j.Kind)
	}
	if err != nil {
		return bad(err)
	}
	return j, nil
}

// Bounds of a lease, and its default.
const (
	minLease     = 200 * time.Millisecond
	maxLease     = time.Hour
	DefaultLease = 5 * time.Second
)

// fits returns an error if a worker of the given build may not serve the job.
func (j *job) fits(here Build) error {
	if here != j.Build && !j.AnyPath {
		return &RefusedError{Reason: RefusedBuild, Here: here.String(), There: j.Build.String()}
	}
	return nil
}

// process names this process: its host and number.
func process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}
