// Refreshes the panels that are in sight, in place. The page is whole without it.
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

document.querySelectorAll(".variables select:not([multiple])").forEach((s) => s.addEventListener("change", () => s.form.requestSubmit()));
