// Package livepair has livepair's webhook messages, version 1. Within it a message may gain fields, codes and
// regions, so take what you do not know. The lists of types, outcomes, categories and advice stay as they
// are.
//
// Made from events/message.schema.json by `make docs`: change that, not this.
package livepair

import (
	"encoding/json"
	"time"
)

// Outcome is one of a closed list.
type Outcome string

const (
	OutcomeMatched    Outcome = "matched"
	OutcomeMismatched Outcome = "mismatched"
	OutcomeRejected   Outcome = "rejected"
	OutcomeIncomplete Outcome = "incomplete"
	OutcomeFailed     Outcome = "failed"
)

// Category is one of a closed list.
type Category string

const (
	CategorySimilarity    Category = "similarity"
	CategorySpoof         Category = "spoof"
	CategoryLiveness      Category = "liveness"
	CategoryCapture       Category = "capture"
	CategoryImage         Category = "image"
	CategoryMissing       Category = "missing"
	CategoryService       Category = "service"
	CategoryConfiguration Category = "configuration"
)

// Advice is one of a closed list.
type Advice string

const (
	AdviceRetakeLive       Advice = "retake_live"
	AdviceReplaceImage     Advice = "replace_image"
	AdviceUploadMissing    Advice = "upload_missing"
	AdviceReview           Advice = "review"
	AdviceRetryLater       Advice = "retry_later"
	AdviceFixConfiguration Advice = "fix_configuration"
	AdviceNone             Advice = "none"
)

// Message: What every message has, also one of a type that comes later.
type Message struct {
	// The message's id, equal to the webhook-id header: `msg_` and the verification's id. It is the same in
	// every attempt, so drop repeats by it. Opaque; it holds no `.`.
	ID string `json:"id"`
	// What the message is about: `verification.` and the outcome, or `webhook.test`, which tells of no
	// verification.
	Type string `json:"type"`
	// When it was decided; not when it was sent. Messages can arrive out of order: for one pair, the one
	// with the newest uploads is current.
	Timestamp time.Time `json:"timestamp"`
	// The version of this format. It is raised by changes that are more than additions.
	Version int64 `json:"version"`
	// What is told: of a verification, or of a test.
	Data Data `json:"data"`
}

// Data is what a message tells: a pointer to one of the structs below, or *Unknown.
type Data interface{ data() }

// Unknown is the data of a type that came after this file: answer 2xx, and leave it.
type Unknown struct{ JSON json.RawMessage }

func (*Unknown) data() {}

// UnmarshalJSON reads a message of any type; fields that are not known are left out.
func (m *Message) UnmarshalJSON(body []byte) error {
	type envelope Message
	read := struct {
		*envelope
		Data json.RawMessage `json:"data"`
	}{envelope: (*envelope)(m)}
	if err := json.Unmarshal(body, &read); err != nil {
		return err
	}
	switch m.Type {
	case "verification.matched":
		m.Data = &Matched{}
	case "verification.mismatched":
		m.Data = &Mismatched{}
	case "verification.rejected":
		m.Data = &Rejected{}
	case "verification.incomplete":
		m.Data = &Incomplete{}
	case "verification.failed":
		m.Data = &Failed{}
	case "webhook.test":
		m.Data = &Test{}
	default:
		m.Data = &Unknown{read.Data}
		return nil
	}
	return json.Unmarshal(read.Data, m.Data)
}

// Reason: Why it is not matched.
type Reason struct {
	// The API's own code as it came, or one of livepair's, which begin with `Livepair.`. Open: the API adds
	// codes. Decide by category and advice.
	Code string `json:"code"`
	// What kind of reason it is. similarity: not the same person. spoof: said to be a fake. liveness: not
	// shown to be live. capture: light, framing or faces in the video. image: the photo. missing: the other
	// half. service: the API or the way to it. configuration: settings or permissions of the function.
	Category Category `json:"category"`
	// For operators, not for the person who was recorded. Open: its words may change.
	Message string `json:"message"`
	// What to do. retake_live: record again. replace_image: use another photo. upload_missing: upload the
	// other half. review: let a human look. retry_later: try again later. fix_configuration: the function's
	// operator must act. none: nothing.
	Advice Advice `json:"advice"`
}

// Upload: One upload of the pair.
type Upload struct {
	// The bucket's full name, name-appid.
	Bucket string `json:"bucket"`
	// The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it.
	Key string `json:"key"`
	// MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
	// large, or archived.
	MD5 *string `json:"md5"`
	// Size in bytes.
	Size int64 `json:"size"`
	// The object's Last-Modified.
	UploadedAt time.Time `json:"uploaded_at"`
	// What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it lists
	// any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in UTF-8. The
	// words are chosen outside livepair: escape them where you show them.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// BestFrame: The stored best frame.
type BestFrame struct {
	// The state bucket's full name, name-appid.
	Bucket string `json:"bucket"`
	// The JPEG's key there.
	Key string `json:"key"`
	// MD5 of the JPEG, 32 lower-case hex digits, checked when it was stored.
	MD5 string `json:"md5"`
}

// API: The call behind a verification.
type API struct {
	// RequestId of the last answer, for Tencent's support; null where the last answer brought none.
	RequestID *string `json:"request_id"`
	// Where the API was called. Open: Tencent may add regions.
	Region string `json:"region"`
	// The code of the last answer: `Success`, another of the API's, or one of livepair's where there was no
	// answer. Open, like reason.code; it differs from that where livepair had the last word.
	Code string `json:"code"`
	// How many calls the API may have executed for this verification.
	Calls int64 `json:"calls"`
}

// Verification: A pair with particular bytes and a run number, and what came of it.
type Verification struct {
	// The verification's id: the same bytes under the same keys in the same run have the same one. Opaque;
	// it holds no `.` and no personal data.
	VerificationID string `json:"verification_id"`
	// Which run over the same bytes this is, from 1. Further ones come only after `failed` or `incomplete`.
	Run int64 `json:"run"`
	// matched: a live person, and the one in the image. mismatched: judged, but not the same person.
	// rejected: the recording or the image does not do. incomplete: the other half did not come in time.
	// failed: no verdict could be had.
	Outcome Outcome `json:"outcome"`
	// The values of the placeholders in LIVE_KEY, by name, as in the object keys: the application's own
	// reference. They are chosen outside livepair: escape them where you show them.
	Pair map[string]string `json:"pair"`
	// MIN_SIMILARITY when this was decided, 0 to 100: at or above it the two faces are the same person.
	MinSimilarity float64 `json:"min_similarity"`
}

// JudgedUpload: One upload of the pair.
type JudgedUpload struct {
	// The bucket's full name, name-appid.
	Bucket string `json:"bucket"`
	// The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it.
	Key string `json:"key"`
	// MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
	// large, or archived.
	MD5 string `json:"md5"`
	// Size in bytes.
	Size int64 `json:"size"`
	// The object's Last-Modified.
	UploadedAt time.Time `json:"uploaded_at"`
	// What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it lists
	// any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in UTF-8. The
	// words are chosen outside livepair: escape them where you show them.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Matched is the data of verification.matched.
type Matched struct {
	Verification
	Similarity float64      `json:"similarity"`
	Live       JudgedUpload `json:"live"`
	Image      JudgedUpload `json:"image"`
	BestFrame  *BestFrame   `json:"best_frame"`
	API        API          `json:"api"`
}

func (*Matched) data() {}

// Mismatched is the data of verification.mismatched.
type Mismatched struct {
	Verification
	Similarity *float64     `json:"similarity"`
	Reason     Reason       `json:"reason"`
	Live       JudgedUpload `json:"live"`
	Image      JudgedUpload `json:"image"`
	BestFrame  *BestFrame   `json:"best_frame"`
	API        API          `json:"api"`
}

func (*Mismatched) data() {}

// Rejected is the data of verification.rejected.
type Rejected struct {
	Verification
	Reason Reason `json:"reason"`
	Live   Upload `json:"live"`
	Image  Upload `json:"image"`
	API    *API   `json:"api"`
}

func (*Rejected) data() {}

// Incomplete is the data of verification.incomplete.
type Incomplete struct {
	Verification
	Reason Reason  `json:"reason"`
	Live   *Upload `json:"live"`
	Image  *Upload `json:"image"`
}

func (*Incomplete) data() {}

// Failed is the data of verification.failed.
type Failed struct {
	Verification
	Reason Reason  `json:"reason"`
	Live   *Upload `json:"live"`
	Image  *Upload `json:"image"`
	API    *API    `json:"api"`
}

func (*Failed) data() {}

// Test is the data of webhook.test.
type Test struct {
	Note string `json:"note"`
}

func (*Test) data() {}
