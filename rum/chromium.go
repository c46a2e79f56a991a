package rum

import "slices"

// What Chromium alone says of a navigation, beside its times.
var (
	notRestoredMetric = Metric{"rum_not_restored_total", "Page views that went back to a page which had to be loaded anew, by why it was not kept in the back/forward cache, as Chromium tells. A view may have several reasons.", []string{"page", "reason"}}
	confidenceMetric  = Metric{"rum_confidence_total", "Page views of people by how far their browser (Chromium) trusts its times: low if it was starting itself, or as slow for another reason. Of some views it answers at random.", []string{"page", "confidence"}}
	randomMetric      = Metric{"rum_confidence_random_total", "Of how many of rum_confidence_total the browsers have answered at random, half of them low, as is to be expected from the rate that they tell.", []string{"page"}}
)

// Confidence is how far the browser trusts its times of a navigation. For the visitor's
// privacy it answers at random with the probability Rate.
// https://w3c.github.io/navigation-timing/#sec-performance-timing-confidence
type Confidence struct {
	Value string  `json:"value"` // "high" or "low"
	Rate  float64 `json:"randomizedTriggerRate"`
}

// unfit says what is wrong, "" if nothing is.
func (c Confidence) unfit() string {
	if c.Value != "high" && c.Value != "low" {
		return malformedText
	}
	return invalid(c.Rate, 1)
}

// notRestored are the reasons for which a page is not kept in the back/forward cache: those
// of the HTML standard, and Chromium's (NotRestoredReasonToReportString in
// content/browser/renderer_host/back_forward_cache_can_store_document_result.cc, and
// web_scheduler_tracked_feature.cc).
var notRestored = []string{
	"fetch", "lock", "masked", "navigation-failure", "parser-aborted", "websocket",
	"audio-capture", "background-work", "broadcastchannel", "broadcastchannel-message", "cookie-disabled", "cookie-removed", "frame-navigating",
	"idbversionchangeevent", "idledetector", "injected-javascript", "injected-stylesheet", "keyboardlock", "mediastream", "midi", "navigating",
	"navigation-canceled", "non-trivial-browsing-context-group", "not-main-frame", "otpcredential", "outstanding-network-request", "paymentrequest",
	"pictureinpicturewindow", "plugins", "printing", "response-auth-required", "response-cache-control-no-cache", "response-cache-control-no-store",
	"response-keep-alive", "response-method-not-get", "response-scheme-not-http-or-https", "response-status-not-ok", "rtc", "sensors",
	"serviceworker-added-after-bfcache", "serviceworker-claim", "serviceworker-postmessage", "serviceworker-unregistration", "serviceworker-version-activation",
	"session-restored", "sharedworker", "smartcardconnection", "speechrecognition", "storageaccess", "timeout", "unload-handler", "unload-listener",
	"video-capture", "webhid", "webnfc", "webserial", "webshare", "webtransport", "webxrdevice",
}

// reasons are those of told that are known, and "other" for all that are not, each once. They
// are strings of our own: the client's are pieces of its beacon, which would be kept whole.
func reasons(told []string) (known []string) {
	for _, t := range told[:min(len(told), maxDetails)] {
		reason := other
		if i := slices.Index(notRestored, t); i >= 0 {
			reason = notRestored[i]
		}
		if !slices.Contains(known, reason) {
			known = append(known, reason)
		}
	}
	return known
}
