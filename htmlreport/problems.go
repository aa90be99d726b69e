package htmlreport

// A Problem is something that went wrong, and where.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// maxProblems is the number of problems of one file that a page lists; further ones are only counted.
const maxProblems = 100

// problems holds the problems of one file.
type problems struct {
	list []Problem
	more int // number of problems that are not in list
}

func (p *problems) add(where, what string) {
	if len(p.list) >= maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, Problem{where, what})
}

func (p *problems) join(q problems) {
	for _, x := range q.list {
		p.add(x.Where, x.What)
	}
	p.more += q.more
}
