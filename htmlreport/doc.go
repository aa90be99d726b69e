// Package htmlreport makes web pages from run folders and sweep folders: one file that needs no other
// file (Read, Write), or pages that grow while the folders do (Serve).
//
// A page holds scripts and data. The data come from log.jsonl, result.json, sweep.json and cells.jsonl. They are bounded in
// size, cleaned of control characters, and written as JSON in which no text can end the element that holds it. The scripts
// put them on the page as text, never as markup. A Content-Security-Policy names the scripts by their SHA-256 and
// forbids everything else. A hostile name in a log would have to pass both defences.
package htmlreport
