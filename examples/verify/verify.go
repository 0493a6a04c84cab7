// Package verify says whether livepair sent a message: the signature of Standard Webhooks, with nothing but the
// standard library.
package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

// Genuine says whether one of the secrets signed these bytes within five minutes of now. If not, answer 401.
//
// secrets are one or more, each `whsec_` and base64, separated by spaces. id, timestamp and signatures are the
// headers webhook-id, webhook-timestamp and webhook-signature; empty where one is missing. body holds the bytes as
// they came, not JSON that was parsed and written again.
func Genuine(secrets, id, timestamp, signatures string, body []byte, now time.Time) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil || now.Sub(time.Unix(at, 0)).Abs() > tolerance {
		return false
	}
	found := false
	for _, secret := range strings.Fields(secrets) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			continue
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, signature := range strings.Fields(signatures) {
			found = hmac.Equal(expected, []byte(signature)) || found // takes as long whatever is wrong
		}
	}
	return found
}
