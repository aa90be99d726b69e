package htmlreport

// A Problem is something that went wrong.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// maxProblems is how many of one file a page lists; the rest is counted.
const maxProblems = 100

// problems are those of one file.
type problems struct {
	list []Problem
	more int // that are not in list
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
