package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
)

// errorPage is the page name of every error page.
const errorPage = "error"

// errMethod: the path is there, the method is not.
var errMethod = errors.New("method not allowed")

// errNotStored: the file is known, its bytes are nowhere.
var errNotStored = fmt.Errorf("the file's bytes are not stored: %w", catalog.ErrNotFound)

// statuses is the one table from what went wrong to HTTP.
var statuses = []struct {
	err    error
	status int
}{
	{catalog.ErrNotFound, http.StatusNotFound},
	{catalog.ErrInvalid, http.StatusBadRequest},
	{errMethod, http.StatusMethodNotAllowed},
	{catalog.ErrUnavailable, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, clientGone},
}

// statusOf is the status of an error; 500 if nobody foresaw it.
func statusOf(err error) int {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// retryAfter (seconds) is how soon a client may ask again when a backend is down.
const retryAfter = "30"

// answerError sends the error's page, or its JSON twin to programs. The error's
// own text is shown for bad requests only: the rest is the operator's business.
func (w *Web) answerError(c *gin.Context, status int, err error) {
	h := c.Writer.Header()
	for _, stale := range []string{"Content-Encoding", "Content-Length", "Content-Disposition", "ETag", "Last-Modified"} {
		h.Del(stale)
	}
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	if path := c.Request.URL.Path; strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/update/") {
		h.Set("Access-Control-Allow-Origin", "*")
		c.JSON(status, map[string]string{"detail": detail(status, err)})
		return
	}
	w.renderError(c, status, detail(status, err))
}

// detail is the sentence that the asker is told, in AMO's words where it has some.
func detail(status int, err error) string {
	switch status {
	case http.StatusNotFound:
		if errors.Is(err, errNotStored) {
			return "This site knows the file, but does not store it: its catalogue was made for measurements."
		}
		return "Not found."
	case http.StatusMethodNotAllowed:
		return "Method not allowed."
	case http.StatusRequestEntityTooLarge:
		return "The request is too large."
	case http.StatusServiceUnavailable:
		return "Temporarily unavailable. Please try again in a moment."
	case http.StatusBadRequest:
		if err != nil {
			return err.Error()
		}
	}
	return "Internal server error."
}
