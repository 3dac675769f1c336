// Charts, words about what failed, and small helps. Pages work without it; nothing here decides anything.
"use strict";
(() => {
  const colour = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const LEVELS = ["--bronze", "--silver", "--gold", "--platinum"];
  const short = (value) => Math.abs(value) >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : Math.abs(value) >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : `${+value.toFixed(2)}`;
  const drawn = new Map();

  function draw(plot) {
    drawn.get(plot)?.destroy();
    const stacked = plot.dataset.kind === "stack";
    const days = JSON.parse(plot.dataset.days).map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
    const names = JSON.parse(plot.dataset.names);
    const own = JSON.parse(plot.dataset.series).map((series) => series.values);
    const colours = (stacked ? LEVELS : ["--s1", "--s2", "--s3", "--s4", "--bad"]).map(colour);
    const ink = colour("--muted"), line = colour("--line");
    let shown = own;
    if (stacked) {
      const sum = days.map(() => 0);
      shown = own.map((values) => values.map((value, n) => (sum[n] += value)));
    }
    const series = names.map((label, n) => ({
      label, stroke: colours[n], width: stacked ? 0 : 2, fill: stacked ? colours[n] : undefined,
      paths: stacked ? uPlot.paths.bars({ size: [0.8, 24] }) : undefined, points: { show: days.length < 3 },
      value: (_, __, ___, at) => at === null ? "–" : own[n][at]?.toLocaleString() ?? "–",
    }));
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
    // The tallest bar is drawn first, so that the others stand before it.
    const order = stacked ? [...names.keys()].reverse() : [...names.keys()];
    const chart = new uPlot({
      width: plot.clientWidth, height: 240, padding: [null, 28, null, null], tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      series: [{ value: (_, at) => at === null ? "–" : new Date(at * 1e3).toISOString().slice(0, 10), label: plot.dataset.day || "" }, ...order.map((n) => series[n])],
      axes: [{ ...axis, space: 70, values: [[86400 * 365, "{YYYY}"], [86400 * 28, "{MMM} {YYYY}"], [86400, "{MMM} {D}"]] }, { ...axis, size: 56, values: (_, values) => values.map(short) }],
      scales: { x: { range: stacked ? (_, low, high) => [low - 43200, high + 43200] : undefined }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
      cursor: { drag: { x: false, y: false } },
    }, [days, ...order.map((n) => shown[n])], plot);
    drawn.set(plot, chart);
  }
  const drawAll = (within) => within.querySelectorAll(".plot[data-series]").forEach(draw);
  let sized;
  addEventListener("resize", () => {
    clearTimeout(sized);
    sized = setTimeout(() => drawn.forEach((chart, plot) => chart.setSize({ width: plot.clientWidth, height: 240 })), 100);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));

  const said = document.getElementById("said");
  let silence;
  function tell(html) {
    said.innerHTML = html;
    clearTimeout(silence);
    silence = setTimeout(() => said.replaceChildren(), 10000);
  }
  document.addEventListener("htmx:responseError", (event) => {
    const text = event.detail.xhr.responseText;
    if (text.startsWith("<p class=\"note")) tell(text);
  });
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (asked && !confirm(asked)) event.preventDefault();
  });

  // Names offered where the caret is: arrows choose, Enter or Tab takes, Escape leaves.
  document.querySelectorAll("[data-words]").forEach((field, nth) => {
    const words = JSON.parse(document.getElementById(`words-${field.dataset.words}`).dataset.list);
    const whole = field.dataset.words === "templates";
    const list = Object.assign(document.createElement("ul"), { className: "choices", id: `choices-${nth}`, hidden: true });
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", field.labels[0]?.textContent ?? "");
    field.after(list);
    if (field.matches("input")) { field.setAttribute("role", "combobox"); field.setAttribute("aria-expanded", "false"); }
    for (const [name, value] of [["aria-autocomplete", "list"], ["aria-controls", list.id]]) field.setAttribute(name, value);
    let at = -1;
    const begun = () => (whole ? /[^,]*$/ : /[A-Za-z_][A-Za-z0-9_]*$/).exec(field.value.slice(0, field.selectionStart))?.[0].trimStart() ?? "";
    const close = () => { list.hidden = true; at = -1; field.matches("input") && field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); };
    const choose = (n) => {
      at = n;
      [...list.children].forEach((item, m) => item.setAttribute("aria-selected", m === at));
      if (at >= 0) { field.setAttribute("aria-activedescendant", list.children[at].id); list.children[at].scrollIntoView({ block: "nearest" }); }
    };
    const take = (name) => {
      const start = field.selectionStart - begun().length;
      field.setRangeText(name, start, field.selectionStart, "end");
      close();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    };
    field.addEventListener("input", () => {
      const word = begun().toLowerCase();
      const found = word ? words.filter(([name]) => name.toLowerCase().includes(word) && name.toLowerCase() !== word) : [];
      found.sort(([a], [b]) => b.toLowerCase().startsWith(word) - a.toLowerCase().startsWith(word));
      list.replaceChildren(...found.slice(0, 12).map(([name, about], n) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${n}`;
        item.setAttribute("role", "option");
        item.textContent = name;
        if (about) item.append(Object.assign(document.createElement("small"), { textContent: about }));
        item.addEventListener("mousedown", (event) => { event.preventDefault(); take(name); });
        return item;
      }));
      if (!found.length) return close();
      list.hidden = false;
      field.matches("input") && field.setAttribute("aria-expanded", "true");
      choose(-1);
    });
    field.addEventListener("keydown", (event) => {
      if (list.hidden) return;
      const many = list.children.length;
      if (event.key === "ArrowDown") choose((at + 1) % many);
      else if (event.key === "ArrowUp") choose((at + many - 1) % many);
      else if (event.key === "Escape") close();
      else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) take(list.children[at].firstChild.textContent);
      else return;
      event.preventDefault();
    });
    field.addEventListener("blur", close);
  });
  // On a phone the tab where one is may lie outside.
  document.querySelector(".tabs.under [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  drawAll(document);
})();
