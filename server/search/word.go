package search

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	wordRunes  = 40   // longer words are cut
	textWords  = 2000 // words of one text that are searched
	queryRunes = 200  // of a query; AMO allows 100
	queryWords = 16   // of a query
)

// word is one word of a text, folded: no case, no accents. A dense word is a run
// in a script that puts no spaces between words.
type word struct {
	text  string
	dense bool
}

// words splits a text in any language. Punctuation separates; a symbol such as
// an emoji is a word of its own.
func words(text string) []word {
	var found []word
	var run []rune
	var dense bool
	end := func() {
		if len(run) > 0 && len(found) < textWords {
			found = append(found, word{string(run[:min(len(run), wordRunes)]), dense})
		}
		run = run[:0]
	}
	for _, c := range fold(text) {
		switch {
		case unicode.IsMark(c) || c == 'ー': // goes with what is before it; the latter lengthens a Japanese vowel
			if len(run) > 0 {
				run = append(run, c)
			}
		case unicode.IsLetter(c) || unicode.IsDigit(c):
			if d := unicode.In(c, denseScripts...); d != dense {
				end()
				dense = d
			}
			run = append(run, c)
		default:
			end()
			if unicode.Is(unicode.So, c) {
				run = append(run, c)
				dense = false
				end()
			}
		}
	}
	end()
	return found
}

// denseScripts put no spaces between words, or (Hangul) glue particles to them.
var denseScripts = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// fold takes away what people leave out when they type: case, accents, width.
func fold(text string) string {
	text = norm.NFKD.String(trademarks.Replace(strings.ToValidUTF8(text, " ")))
	text = strings.Map(func(c rune) rune {
		switch {
		case c >= 0x300 && c <= 0x36f, // accents on Latin, Greek and Cyrillic
			c >= 0x591 && c <= 0x5c7, // Hebrew points
			c >= 0x64b && c <= 0x652: // Arabic vowels
			return -1
		}
		return c
	}, text)
	return norm.NFKC.String(letters.Replace(cases.Fold().String(text)))
}

// trademarks would become the letters TM at the end of a word.
var trademarks = strings.NewReplacer("™", " ", "®", " ", "©", " ", "℠", " ")

// letters are those that Unicode does not take apart although people type them as others.
var letters = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe", "ı", "i", "ħ", "h")

// stem is the form in which a word is looked up: without the plural s of
// several European languages. Anything bolder would have to know the language.
func (w word) stem() string {
	if len(w.text) >= 4 && strings.HasSuffix(w.text, "s") && !strings.HasSuffix(w.text, "ss") {
		return w.text[:len(w.text)-1]
	}
	return w.text
}

// terms are what must all be in a field for w to be found there: its stem, or
// the pairs of neighbours of a dense word.
func (w word) terms() []string {
	if !w.dense {
		return []string{w.stem()}
	}
	runes := []rune(w.text)
	if len(runes) == 1 {
		return []string{w.text}
	}
	var pairs []string
	for i := range len(runes) - 1 {
		pairs = append(pairs, string(runes[i:i+2]))
	}
	return pairs
}

// indexed are the terms of a text that holds w, for all queries that should find it.
func (w word) indexed() []string {
	terms := w.terms()
	if w.dense {
		for _, c := range w.text {
			terms = append(terms, string(c))
		}
	}
	return terms
}

const (
	prefixRunes = 20 // longest beginning of a word that is indexed for completion
	innerRunes  = 6  // longest piece of a dense word, likewise
)

// prefixes are what may be typed on the way to w: its beginnings, and for a
// dense word, where a word may begin anywhere, all pieces.
func (w word) prefixes() []string {
	runes := []rune(w.text)
	if !w.dense {
		return beginnings(runes, prefixRunes)
	}
	var pieces []string
	for i := range runes {
		pieces = append(pieces, beginnings(runes[i:], innerRunes)...)
	}
	return pieces
}

func beginnings(runes []rune, longest int) []string {
	var all []string
	for n := 1; n <= min(len(runes), longest); n++ {
		all = append(all, string(runes[:n]))
	}
	return all
}

// prefix is what w, typed so far, is looked up as among prefixes.
func (w word) prefix() string {
	longest := prefixRunes
	if w.dense {
		longest = innerRunes
	}
	runes := []rune(w.text)
	return string(runes[:min(len(runes), longest)])
}

// joined is the words of a name without anything between: "dark reader" and
// "Dark-Reader" are "darkreader".
func joined(ws []word) string {
	var b strings.Builder
	for _, w := range ws {
		b.WriteString(w.text)
	}
	return b.String()
}

// spaced is the words of a name with one space between: its exact form.
func spaced(ws []word) string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}

// uncamel splits "LastPass" and "HTTPSEverywhere" where people would.
func uncamel(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, c := range runes {
		if i > 0 && unicode.IsUpper(c) {
			after := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if unicode.IsLower(runes[i-1]) || unicode.IsUpper(runes[i-1]) && after {
				b.WriteByte(' ')
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

// weak words say little: those that hold sentences together in the languages
// most add-ons are written in, and those that every add-on could use. They add
// to a score, but a hit may lack them.
var weak = set(`
	a an and are as at be by for from how in into is it my of on or that the this to with you your
	der die das den dem des ein eine einen für fur im ist mit nicht oder und von zu auf aus
	le la les l d de du des un une et en est pour sur avec dans au aux ou
	el los las del una y con para por que se su
	o os da do das dos e em com no na um uma
	il lo gli di che per con il
	het een van voor met op en
	и в на с для по
	addon addons add ons extension extensions plugin plugins firefox mozilla browser`)

func set(list string) map[string]bool {
	m := map[string]bool{}
	for _, s := range strings.Fields(list) {
		m[s] = true
	}
	return m
}

// uniq sorts terms and takes out doubles, for a field is a set.
func uniq(terms []string) []string {
	slices.Sort(terms)
	return slices.Compact(terms)
}
