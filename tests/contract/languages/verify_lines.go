// Asks examples/verify/verify.go: each line holds what it takes, in base64, `-` for a header that is missing.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"livepair/verify"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		part := strings.Split(lines.Text(), " ")
		now, _ := strconv.ParseInt(part[5], 10, 64)
		genuine := verify.Genuine(
			text(part[0]), text(part[1]), text(part[2]), text(part[3]), []byte(text(part[4])), time.Unix(now, 0),
		)
		fmt.Println(genuine)
	}
}

func text(part string) string {
	if part == "-" {
		return ""
	}
	found, err := base64.StdEncoding.DecodeString(part[1:])
	if err != nil {
		panic(err)
	}
	return string(found)
}
