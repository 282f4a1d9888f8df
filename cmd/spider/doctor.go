package main

import (
	"fmt"
	"time"

	"github.com/spider-go/spider/internal/doctor"
)

type doctorCommand struct {
	JSON    bool          `help:"Print one JSON object."`
	Timeout time.Duration `default:"10s" help:"How long each program and package that is tried may take. Default: ${default}."`
	places
}

// Help is what spider doctor --help adds.
func (*doctorCommand) Help() string {
	return `Looks at all that running and building packages takes, and says what to do where
something is missing: compilers, executor, package directory, every package in it,
kernel, limits. What is a note may not be needed; what is a failure is.

Examples:

    spider doctor
    spider doctor --json | jq -r '.findings[] | select(.level == "fail") | .advice'

Exit status: 0 packages can be run; 1 something has failed; 2 wrong usage.`
}

// Validate is called by kong, before Run.
func (c *doctorCommand) Validate() error { return positive(c.Timeout) }

// Run prints what was found.
func (c *doctorCommand) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	o, dir := c.options(false, c.Timeout)
	findings, err := doctor.Examine(ctx, doctor.Config{Executor: o.Executor, Missing: o.Missing, PackageDir: dir, Timeout: c.Timeout})
	if err != nil {
		return causeOf(ctx, err)
	}
	usable := doctor.Usable(findings)
	if c.JSON {
		if err := printJSON(s.out, struct {
			Usable   bool             `json:"usable"`
			Findings []doctor.Finding `json:"findings"`
		}{usable, findings}); err != nil {
			return err
		}
	} else {
		printFindings(s, findings)
	}
	if usable {
		return nil
	}
	failed := 0
	for _, f := range findings {
		if f.Level == doctor.Fail {
			failed++
		}
	}
	if failed == 1 {
		return &noError{"1 thing has failed, see above"}
	}
	return &noError{fmt.Sprintf("%d things have failed, see above", failed)}
}

func printFindings(s *streams, findings []doctor.Finding) {
	st := styleOf(s.color, s.out.w)
	width := 0
	for _, f := range findings {
		width = max(width, len(oneLine(f.Check)))
	}
	for _, f := range findings {
		level := fmt.Sprintf("%-4s", f.Level)
		switch f.Level {
		case doctor.Fail:
			level = st.red(level)
		case doctor.Note:
			level = st.bold(level)
		}
		fmt.Fprintf(s.out, "%s  %-*s  %s\n", level, width, oneLine(f.Check), abridgeTo(oneLine(f.Found), 200))
		if f.Advice != "" {
			fmt.Fprintf(s.out, "%-4s  %-*s  -> %s\n", "", width, "", oneLine(f.Advice))
		}
	}
}
