// Refreshes the panels that are in sight, in place, and shows in each legend the
// values under the pointer. The page is whole without it.
const board = document.querySelector("[data-board]");
const live = document.querySelector("[data-live]");
const at = document.querySelector("[data-at]");

if (board) {
  const every = board.dataset.refresh * 1000;
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const e of entries) e.isIntersecting ? seen.add(e.target) : seen.delete(e.target);
  });
  board.querySelectorAll("[data-panel]").forEach((p) => watcher.observe(p));

  // One panel after another: the server has other guests.
  const refresh = async () => {
    for (const panel of seen) {
      const inside = panel.querySelector("[data-inside]");
      try {
        const answer = await fetch(`${board.dataset.board}/panel/${panel.dataset.panel}?${board.dataset.query}`, {
          signal: AbortSignal.timeout(every),
        });
        if (!answer.ok) throw new Error(answer.status);
        inside.innerHTML = await answer.text();
        inside.classList.remove("old");
        at.textContent = answer.headers.get("As-Of");
      } catch {
        inside.classList.add("old");
      }
    }
  };

  let paused = false;
  const button = document.createElement("button");
  button.type = "button";
  const label = () => {
    button.textContent = paused ? "Refresh again" : "Pause";
    button.setAttribute("aria-pressed", paused);
  };
  button.addEventListener("click", () => {
    paused = !paused;
    label();
    if (!paused) refresh();
  });
  label();
  live.append(button);

  const loop = async () => {
    if (!paused && !document.hidden) await refresh();
    setTimeout(loop, every);
  };
  setTimeout(loop, every);
}

// The values at x on the canvas, read back from the lines; undefined where a line
// has a gap. A stacked line lies upon those before it.
const valuesAt = (plot, x) => {
  const { low, high, step, stacked } = plot.dataset;
  let below = 0;
  return [...plot.querySelectorAll(".line")].map((line) => {
    line.points ??= line.getAttribute("d").match(/[-\d.]+ [-\d.]+/g).map((p) => p.split(" ").map(Number));
    const near = line.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    if (Math.abs(near[0] - x) > step / 2 + 1) return undefined;
    const top = +high - (near[1] / 1000) * (high - low);
    const value = stacked === undefined ? top : top - below;
    below = top;
    return value;
  });
};

const clock = (ms, zone) => new Date(ms + zone * 1000).toISOString().slice(5, 19).replace("T", " ");

const leave = (plot) => {
  const legend = plot.closest("[data-inside]").querySelector(".legend");
  plot.querySelector(".cursor")?.remove();
  legend.querySelector(".when").hidden = true;
  legend.querySelectorAll(".last").forEach((l) => (l.textContent = l.dataset.last ?? l.textContent));
};

const point = (plot, x) => {
  const { start, end, zone, factor, suffix } = plot.dataset;
  const legend = plot.closest("[data-inside]").querySelector(".legend");
  const lasts = legend.querySelectorAll(".last");
  valuesAt(plot, x).forEach((v, i) => {
    lasts[i].dataset.last ??= lasts[i].textContent;
    lasts[i].textContent = v === undefined ? "–" : +(v / factor).toPrecision(3) + suffix;
  });
  const when = legend.querySelector(".when");
  when.hidden = false;
  when.textContent = clock(+start + (x / 1000) * (end - start), +zone);
  let cursor = plot.querySelector(".cursor");
  if (!cursor) {
    cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    plot.append(cursor);
  }
  cursor.setAttribute("d", `M${x} 0V1000`);
};

board?.addEventListener("pointermove", (e) => {
  const chart = e.target.closest(".plot");
  board.querySelectorAll(".plot:has(.cursor)").forEach((p) => p !== chart && leave(p));
  if (!chart) return;
  const box = chart.getBoundingClientRect();
  point(chart, Math.min(1000, Math.max(0, ((e.clientX - box.left) / box.width) * 1000)));
});
board?.addEventListener("pointerleave", () => board.querySelectorAll(".plot:has(.cursor)").forEach(leave));

document.querySelectorAll(".variables select:not([multiple])").forEach((s) => s.addEventListener("change", () => s.form.requestSubmit()));
