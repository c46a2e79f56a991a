package load

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
)

// emblem is an icon that a seed makes: a glyph on a rounded square.
type emblem struct {
	top, bottom color.NRGBA // the square's colours
	glyph       int
	turn        float64 // radians
}

func newEmblem(rng *rand.Rand) emblem {
	hue := rng.Float64()
	return emblem{
		top:    hsl(hue, .65, .62),
		bottom: hsl(hue+.08+rng.Float64()*.12, .70, .42),
		glyph:  rng.IntN(len(glyphs())),
		turn:   float64(rng.IntN(8)) * math.Pi / 8,
	}
}

const iconSize = 128 // pixels, AMO's largest

// glyphs are signed distances, in icons of the size 2 around the origin, to the
// shape's edge: negative within.
func glyphs() []func(x, y float64) float64 {
	return []func(x, y float64) float64{
		func(x, y float64) float64 { return math.Abs(math.Hypot(x, y)-.42) - .12 },                // ring
		func(x, y float64) float64 { return math.Hypot(x, y) - .5 },                               // disc
		func(x, y float64) float64 { return math.Abs(x) + math.Abs(y) - .62 },                     // diamond
		func(x, y float64) float64 { return max(math.Hypot(x, y)-.52, .40-math.Hypot(x-.22, y)) }, // crescent
		func(x, y float64) float64 { return min(box(x, y, .55, .13), box(x, y, .13, .55)) },       // cross
		func(x, y float64) float64 {
			return min(box(x, y+.32, .5, .1), box(x, y, .5, .1), box(x, y-.32, .5, .1))
		}, // bars
		func(x, y float64) float64 {
			return min(math.Hypot(x-.3, y-.3), math.Hypot(x+.3, y-.3), math.Hypot(x-.3, y+.3), math.Hypot(x+.3, y+.3)) - .2 // dots
		},
		func(x, y float64) float64 { return max(math.Abs(y+.3*math.Sin(4*x))-.12, math.Abs(x)-.6) }, // wave
	}
}

func box(x, y, halfWidth, halfHeight float64) float64 {
	return max(math.Abs(x)-halfWidth, math.Abs(y)-halfHeight)
}

// png draws the icon.
func (e emblem) png() ([]byte, error) {
	img := image.NewNRGBA(image.Rect(0, 0, iconSize, iconSize))
	glyph := glyphs()[e.glyph]
	sin, cos := math.Sincos(e.turn)
	const pixel = 2.0 / iconSize
	for py := range iconSize {
		y := (float64(py)+.5)*pixel - 1
		ground := blend(e.top, e.bottom, (y+1)/2)
		for px := range iconSize {
			x := (float64(px)+.5)*pixel - 1
			c := blend(ground, color.NRGBA{255, 255, 255, 255}, coverage(glyph(x*cos-y*sin, x*sin+y*cos), pixel))
			c.A = uint8(255 * coverage(rounded(x, y), pixel))
			img.SetNRGBA(px, py, c)
		}
	}
	return encode(img)
}

// rounded is the distance to a square with round corners that fills the icon.
func rounded(x, y float64) float64 {
	const half, radius = .96, .3
	qx, qy := max(math.Abs(x)-half+radius, 0), max(math.Abs(y)-half+radius, 0)
	return math.Hypot(qx, qy) - radius
}

// coverage is how much of a pixel lies within the shape whose edge is at the distance.
func coverage(distance, pixel float64) float64 { return min(max(.5-distance/pixel, 0), 1) }

// svg is the same icon's ground with a letter, as a vector image.
func (e emblem) svg(letter string) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="128" height="128" viewBox="0 0 128 128"><defs><linearGradient id="g" x2="0" y2="1"><stop stop-color="%s"/><stop offset="1" stop-color="%s"/></linearGradient></defs><rect x="3" y="3" width="122" height="122" rx="20" fill="url(#g)"/><text x="64" y="90" font-family="sans-serif" font-size="76" font-weight="bold" text-anchor="middle" fill="#fff">%s</text></svg>
`, cssColor(e.top), cssColor(e.bottom), letter)
}

// screenshot draws a window with a page in it, in the emblem's colours.
func (e emblem) screenshot(rng *rand.Rand, dark bool) ([]byte, int, int, error) {
	const width, height = 640, 400
	paper, ink := color.NRGBA{255, 255, 255, 255}, color.NRGBA{208, 208, 216, 255}
	if dark {
		paper, ink = color.NRGBA{35, 34, 43, 255}, color.NRGBA{82, 80, 94, 255}
	}
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{paper, ink, e.top, e.bottom, blend(paper, ink, .5)})
	fill(img, 0, 0, width, 44, 4)
	fill(img, 12, 10, 150, 34, 0)
	fill(img, 180, 16, 360+rng.IntN(50), 16, 1)
	fill(img, width-40, 10, 24, 24, 2)
	fill(img, 0, 44, 150+rng.IntN(60), height-44, 4)
	for row := range 9 {
		y := 64 + row*36
		fill(img, 16, y, 80+rng.IntN(60), 12, 1)
		if row > 3 { // above is the picture
			fill(img, 240, y, 120+rng.IntN(260), 10, 1)
			fill(img, 240, y+16, 90+rng.IntN(280), 6, 4)
		}
	}
	fill(img, 240, 64, 300, 120, 3)
	fill(img, 256, 80, 160, 16, 0)
	fill(img, 256, 150, 60, 18, 2)
	body, err := encode(img)
	return body, width, height, err
}

// strip draws what a theme makes of the top of a window: AMO's size for them.
func strip(rng *rand.Rand, frame, toolbar, text color.NRGBA) ([]byte, int, int, error) {
	const width, height = 680, 92
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{frame, toolbar, text, blend(frame, text, .25)})
	fill(img, 0, 40, width, 52, 1)
	fill(img, 12, 6, 160, 34, 1)
	fill(img, 28, 18, 60+rng.IntN(50), 8, 2)
	for i := range 3 {
		fill(img, 190+i*130, 18, 50+rng.IntN(50), 8, 3)
	}
	fill(img, 120, 52, 440, 28, 0)
	fill(img, 136, 62, 100+rng.IntN(160), 8, 2)
	for i := range 3 {
		fill(img, 20+i*30, 58, 16, 16, 2)
	}
	body, err := encode(img)
	return body, width, height, err
}

func fill(img *image.Paletted, x, y, width, height int, index uint8) {
	r := image.Rect(x, y, x+width, y+height).Intersect(img.Rect)
	for py := r.Min.Y; py < r.Max.Y; py++ {
		row := img.Pix[py*img.Stride+r.Min.X : py*img.Stride+r.Max.X]
		for i := range row {
			row[i] = index
		}
	}
}

func encode(img image.Image) ([]byte, error) {
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("draw sample image: %w", err)
	}
	return out.Bytes(), nil
}

func blend(a, b color.NRGBA, t float64) color.NRGBA {
	mix := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*t)) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// hsl is a colour by hue, saturation and lightness, each 0–1; the hue wraps.
func hsl(hue, saturation, lightness float64) color.NRGBA {
	channel := func(n float64) uint8 {
		k := math.Mod(n+hue*12, 12)
		return uint8(math.Round(255 * (lightness - saturation*min(lightness, 1-lightness)*max(-1, min(k-3, 9-k, 1)))))
	}
	return color.NRGBA{channel(0), channel(8), channel(4), 255}
}

func cssColor(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
