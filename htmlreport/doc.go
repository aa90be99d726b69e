// Package htmlreport makes a page of run folders and sweep folders: a file that needs nothing
// beside it (Read, Write), or pages that grow while the folders do (Serve).
//
// The page is scripts and data. The data are what Go read of log.jsonl, result.json, sweep.json and cells.jsonl, bounded in
// size and cleaned of control characters, as JSON in which nothing can end the element that holds it; scripts put
// them on the page as text, never as markup. A Content-Security-Policy names the scripts by their SHA-256 and
// forbids everything else, so that a hostile name in a log has two walls before it.
package htmlreport
