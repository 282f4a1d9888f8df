package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The charts' colours. The floor is grey, ours is blue, the others follow. Each has
// a shape of its own besides, for who does not tell colours apart.
var (
	colourPipes = color.RGBA{0x80, 0x80, 0x80, 0xff}
	colourShm   = color.RGBA{0x30, 0x30, 0x30, 0xff}
	colours     = []color.RGBA{
		{0x1f, 0x6f, 0xb4, 0xff}, {0xd9, 0x5f, 0x0e, 0xff}, {0x2c, 0x8c, 0x3c, 0xff}, {0x8e, 0x44, 0xad, 0xff}, {0xb0, 0x2a, 0x4a, 0xff},
	}
	shapes     = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.BoxGlyph{}}
	dashed     = []vg.Length{vg.Points(7), vg.Points(4)}
	dotted     = []vg.Length{vg.Points(2.5), vg.Points(3)}
	gridColour = color.Gray{0xd6}
)

// series is one line, or one group of bars.
type series struct {
	name   string
	colour color.RGBA
	shape  draw.GlyphDrawer // nil: a line without marks
	dashes []vg.Length
	points plotter.XYs
}

func executorSeries(i int, name string) series {
	return series{name: name, colour: colours[i%len(colours)], shape: shapes[i%len(shapes)]}
}

// panel is one plot of a chart.
type panel struct {
	title string
	lines []series
}

// charts draws what was measured, as SVG, by file name.
func (r *Report) charts() (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(name string, draw func() ([]byte, error)) (err error) {
		files[name], err = draw()
		if err != nil {
			return fmt.Errorf("bench: chart %s: %w", name, err)
		}
		return nil
	}
	if r.Calls != nil {
		if err := add(chartNoOp, r.noOpChart); err != nil {
			return nil, err
		}
		if err := add(chartSeed, r.seedChart); err != nil {
			return nil, err
		}
	}
	if r.Sizes != nil {
		if err := add(chartSizes, r.sizesChart); err != nil {
			return nil, err
		}
	}
	if r.Rates != nil {
		if err := add(chartRates, r.ratesChart); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (r *Report) noOpChart() ([]byte, error) {
	return r.latencyChart("How long a call takes whose task does nothing", "time of a call",
		func(e *ExecutorTimes) Curve { return e.NoOpCurve }, func(f *FloorTimes) Curve { return f.NoOpCurve })
}

func (r *Report) seedChart() ([]byte, error) {
	return r.latencyChart("What a call with 100 strings in and out takes beyond its task", "time beyond the task",
		func(e *ExecutorTimes) Curve { return e.IPCCurve }, func(f *FloorTimes) Curve { return f.EchoCurve })
}

// latencyChart has the share of calls across, in nines, and their time upwards.
func (r *Report) latencyChart(title, what string, ofExecutor func(*ExecutorTimes) Curve, ofFloor func(*FloorTimes) Curve) ([]byte, error) {
	line := func(s series, c Curve) series {
		for _, p := range c {
			s.points = append(s.points, plotter.XY{X: nines(p.Share), Y: positive(p.Time)})
		}
		return s
	}
	var panels []panel
	for i := range r.Calls.Placements {
		p := &r.Calls.Placements[i]
		var lines []series
		for j := range p.Executors {
			e := &p.Executors[j]
			s := executorSeries(j, e.Name)
			s.shape = nil
			lines = append(lines, line(s, ofExecutor(e)))
		}
		if p.Floor != nil {
			lines = append(lines, line(series{name: "C echo, pipes: the floor", colour: colourPipes, dashes: dashed}, ofFloor(p.Floor)))
		}
		panels = append(panels, panel{p.title(), lines})
	}
	return drawPanels(title, panels, func(p *plot.Plot) {
		p.X.Label.Text = "so many of the calls were at least this fast"
		p.X.Tick.Marker = plot.TickerFunc(shareTicks)
		timeAxis(p, what)
	})
}

func (r *Report) sizesChart() ([]byte, error) {
	var panels []panel
	for i := range r.Sizes {
		place := &r.Sizes[i]
		var lines []series
		for j, name := range r.Config.executorNames() {
			s := executorSeries(j, name)
			for _, size := range place.Sizes {
				s.add(size.Bytes, &size.Executors[j])
			}
			lines = append(lines, s)
		}
		pipes := series{name: "C echo, pipes", colour: colourPipes, dashes: dashed}
		shm := series{name: "C echo, shared memory", colour: colourShm, dashes: dotted}
		for _, size := range place.Sizes {
			pipes.add(size.Bytes, size.PipeEcho)
			shm.add(size.Bytes, size.ShmEcho)
		}
		panels = append(panels, panel{place.title(), append(lines, pipes, shm)})
	}
	return drawPanels("How long a call takes by the size of its payload, the same in and out: medians", panels, func(p *plot.Plot) {
		p.X.Label.Text = "size of the payload"
		p.X.Scale = plot.LogScale{}
		p.X.Tick.Marker = plot.TickerFunc(sizeTicks)
		timeAxis(p, "time of a call")
	})
}

// add adds a point if there is one.
func (s *series) add(bytes int, t *Transfer) {
	if t != nil && t.EndToEnd.Count > 0 {
		s.points = append(s.points, plotter.XY{X: float64(bytes), Y: positive(t.EndToEnd.P50)})
	}
}

func (r *Report) ratesChart() ([]byte, error) {
	p := newPlot("Calls per second by number of executors")
	p.X.Label.Text = fmt.Sprintf("executors, with one caller each, on %s", count(len(r.Host.CPUs), "core"))
	p.Y.Label.Text = "calls per second"
	p.Y.Min = 0
	const group = 60 // points, of all bars that belong together
	width := vg.Points(group / float64(len(r.Rates)))
	for i, all := range r.Rates {
		s := executorSeries(i, all.Name)
		if i == len(r.Config.executors()) {
			s.colour = colourPipes
		}
		var values plotter.Values
		for _, rate := range all.Rates {
			values = append(values, rate.PerSecond)
		}
		bars, err := plotter.NewBarChart(values, width*0.92)
		if err != nil {
			return nil, err
		}
		bars.Color = s.colour
		bars.LineStyle.Width = 0
		bars.Offset = vg.Length(float64(i)-float64(len(r.Rates)-1)/2) * width
		p.Add(bars)
		p.Legend.Add(s.name, bars)
		p.Y.Max = max(p.Y.Max, maxOf(values))
	}
	// Room for the legend above the bars.
	p.Y.Max *= 1.25
	p.Y.Tick.Marker = plot.TickerFunc(countTicks)
	var names []string
	for _, n := range poolSizes {
		names = append(names, fmt.Sprint(n))
	}
	p.NominalX(names...)
	p.X.Tick.Label.Font.Size = tickSize
	return drawChart("", []*plot.Plot{p}, 8*vg.Inch)
}

// The sizes of text.
const (
	titleSize = vg.Length(15)
	labelSize = vg.Length(12)
	tickSize  = vg.Length(11)
)

// newPlot is a plot with the charts' looks.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	for style, size := range map[*text.Style]vg.Length{
		&p.Title.TextStyle: titleSize, &p.X.Label.TextStyle: labelSize, &p.Y.Label.TextStyle: labelSize,
		&p.X.Tick.Label: tickSize, &p.Y.Tick.Label: tickSize, &p.Legend.TextStyle: labelSize,
	} {
		style.Font.Variant = "Sans"
		style.Font.Size = size
	}
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(6), vg.Points(6)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(10), vg.Points(-6)
	p.Legend.Padding = vg.Points(3)
	p.Legend.ThumbnailWidth = vg.Points(26)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = gridColour, gridColour
	p.Add(grid)
	return p
}

// timeAxis has times upwards, in a logarithmic scale.
func timeAxis(p *plot.Plot, what string) {
	p.Y.Label.Text = what + " (logarithmic)"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(timeTicks)
}

// drawPanels draws lines side by side, with the same axes.
func drawPanels(title string, panels []panel, setup func(*plot.Plot)) ([]byte, error) {
	var plots []*plot.Plot
	low, high := plotter.XY{X: math.Inf(1), Y: math.Inf(1)}, plotter.XY{X: math.Inf(-1), Y: math.Inf(-1)}
	for _, panel := range panels {
		p := newPlot(panel.title)
		setup(p)
		for _, s := range panel.lines {
			if len(s.points) == 0 {
				continue
			}
			line, marks, err := plotter.NewLinePoints(s.points)
			if err != nil {
				return nil, err
			}
			line.Color, line.Width = s.colour, vg.Points(2)
			line.Dashes = s.dashes
			marks.Color, marks.Shape, marks.Radius = s.colour, s.shape, vg.Points(3.5)
			p.Add(line)
			if s.shape == nil {
				p.Legend.Add(s.name, line)
			} else {
				p.Add(marks)
				p.Legend.Add(s.name, line, marks)
			}
			xmin, xmax, ymin, ymax := plotter.XYRange(s.points)
			low.X, low.Y = min(low.X, xmin), min(low.Y, ymin)
			high.X, high.Y = max(high.X, xmax), max(high.Y, ymax)
		}
		plots = append(plots, p)
	}
	if math.IsInf(low.X, 0) {
		low, high = plotter.XY{X: 1, Y: 1e3}, plotter.XY{X: 2, Y: 1e6} // too few calls for a curve
	}
	if low.X == high.X {
		high.X++
	}
	for i, p := range plots {
		p.X.Min, p.X.Max = low.X, high.X
		// Room for the legend, a share of the axis for each line of it.
		room := 0.05 * float64(1+len(panels[i].lines))
		p.Y.Min, p.Y.Max = low.Y*0.8, high.Y*math.Pow(high.Y/low.Y, room)
	}
	return drawChart(title, plots, vg.Length(len(plots))*6.2*vg.Inch)
}

// drawChart draws plots side by side.
func drawChart(title string, plots []*plot.Plot, width vg.Length) ([]byte, error) {
	height := 5 * vg.Inch
	top := vg.Points(6)
	if title != "" {
		height += vg.Points(28)
		top = vg.Points(36)
	}
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, height))
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	if title != "" {
		style := plots[0].Title.TextStyle
		style.Font.Size = titleSize + 2
		style.XAlign, style.YAlign = text.XCenter, text.YTop
		all.FillText(style, vg.Point{X: all.Center().X, Y: all.Max.Y - vg.Points(10)}, title)
	}
	tiles := draw.Tiles{
		Rows: 1, Cols: len(plots), PadX: vg.Points(18),
		PadTop: top, PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(18),
	}
	for i, c := range plot.Align([][]*plot.Plot{plots}, tiles, all)[0] {
		plots[i].Draw(c)
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	// Arial has the same measures.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// nines is how many nines a share has: 1 for 90 %, 2 for 99 %.
func nines(share float64) float64 { return -math.Log10(1 - share) }

func shareTicks(low, high float64) (ticks []plot.Tick) {
	for _, t := range []struct {
		share float64
		name  string
	}{{0, "fastest"}, {0.5, "50 %"}, {0.75, "75 %"}, {0.9, "90 %"}, {0.95, "95 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}, {0.99999, "99.999 %"}} {
		if x := nines(t.share); x >= low-1e-9 && x <= high+1e-9 {
			ticks = append(ticks, plot.Tick{Value: x, Label: t.name})
		}
	}
	return ticks
}

func sizeTicks(low, high float64) (ticks []plot.Tick) {
	for _, size := range []int{100, 1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 64 << 20, 1 << 30} {
		if float64(size) >= low && float64(size) <= high {
			ticks = append(ticks, plot.Tick{Value: float64(size), Label: sizeName(size)})
		}
	}
	return ticks
}

// countTicks are about six, at round numbers from 0.
func countTicks(_, high float64) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, finer := range []float64{2, 2.5, 2} { // halves, fifths, tenths
		if high/step >= 5 {
			break
		}
		step /= finer
	}
	for v := 0.0; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: thousands(v)})
	}
	return ticks
}

// timeTicks are 1, 2, 5, 10... of nanoseconds; the 2 and 5 have no names where there
// are many.
func timeTicks(low, high float64) (ticks []plot.Tick) {
	few := high/low < 1000
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			t := digit * decade
			if t < low || t > high {
				continue
			}
			tick := plot.Tick{Value: t}
			if digit == 1 || few {
				tick.Label = timeName(time.Duration(math.Round(t)))
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// timeName is a round time as people write it.
func timeName(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"s", time.Second}, {"ms", time.Millisecond}, {"µs", time.Microsecond}} {
		if d >= unit.size {
			return fmt.Sprintf("%g %s", float64(d)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d ns", int64(d))
}

// thousands writes 12345 as 12,345.
func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

func maxOf(values plotter.Values) (most float64) {
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// positive is a time that a logarithmic scale can show.
func positive(d time.Duration) float64 { return float64(max(d, 1)) }
