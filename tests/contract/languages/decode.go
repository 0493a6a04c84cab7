// Reads messages with events/types/livepair.go, a line each, and writes the data's type and all that was read.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"livepair/types"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var message livepair.Message
		if err := json.Unmarshal(lines.Bytes(), &message); err != nil {
			panic(err)
		}
		if unknown, ok := message.Data.(*livepair.Unknown); ok {
			fmt.Printf("%T {\"type\": %q, \"data\": %s}\n", message.Data, message.Type, unknown.JSON)
			continue
		}
		read, err := json.Marshal(message)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%T %s\n", message.Data, read)
	}
}
