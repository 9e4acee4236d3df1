// Reads a dashboard strictly as Grafana's types: an option that a panel does not have, one that it lacks, or a value of another
// type is an error.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	var read dashboard.Dashboard
	// Both return an empty list of errors, which is not nil, if all is well.
	if err := read.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		fail(err)
	}
	if err := read.Validate(); err != nil && err.Error() != "" {
		fail(err)
	}
	if len(read.Panels) == 0 {
		fail(fmt.Errorf("%s has no panel", os.Args[1]))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
