// What a page does beyond standing there: filters, sorting, links, charts with values and zoom, dark and light.
// Text of others reaches the page as text content only, and styles through the style object: the policy in the head allows nothing else.
(() => {
  "use strict";
  const words = JSON.parse(document.getElementById("words").textContent);
  const KEYS = ["tenant", "layer", "metric", "world"];
  const root = document.documentElement;
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const button = (className, text) => Object.assign(make("button", className, text), { type: "button" });
  const fill = (sentence, parts) => sentence.replace(/\{(\d)\}/g, (_, idx) => parts[idx]);

  // Colours: the style sheet's, as a canvas needs them.
  const probe = document.body.appendChild(make("span"));
  probe.hidden = true;
  let colors = new Map();
  const color = (name, alpha = 1) => {
    if (!colors.has(name)) {
      probe.style.color = `var(--${name})`;
      colors.set(name, getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).join(", "));
    }
    return `rgba(${colors.get(name)}, ${alpha})`;
  };

  // Sorting: by the number that a cell shows first, its estimate; by text where there are none.
  const NUMBER = /[-−+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?/i;
  const order = (cell) => {
    // An interval alone goes by its estimate, which stands before it.
    const shown = cell.textContent.startsWith("[") ? cell.previousElementSibling : cell;
    const found = shown.textContent.replace("−", "-").replace("$", "").match(NUMBER);
    return found ? Number(found[0].replace(/,/g, "")) : NaN;
  };
  const sortBy = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const isNumeric = table.tHead.rows[0].cells[column].classList.contains("n");
    const collator = new Intl.Collator(root.lang, { numeric: true });
    const value = (row) => (isNumeric ? order(row.cells[column]) : row.cells[column].textContent);
    const compare = (a, b) => {
      if (!isNumeric) return direction * collator.compare(a.value, b.value);
      // What is not known stays at the end.
      if (Number.isNaN(a.value) || Number.isNaN(b.value)) return Number.isNaN(a.value) - Number.isNaN(b.value);
      return direction * (a.value - b.value);
    };
    body.append(...rows.map((row) => ({ row, value: value(row) })).sort(compare).map((entry) => entry.row));
  };
  // What a table shows for a filter's value, such as the name of a layer for its id.
  const shownAs = new Map();
  for (const table of document.querySelectorAll("table")) {
    const headers = [...table.tHead.rows[0].cells];
    if (table.classList.contains("bare")) {
      const names = headers.map((th) => th.textContent);
      for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, column) => { cell.dataset.label = names[column]; });
    }
    headers.forEach((th, column) => {
      const press = button("sort", th.textContent);
      press.addEventListener("click", () => {
        const direction = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        sortBy(table, column, direction);
      });
      th.replaceChildren(press);
      const { key } = th.dataset;
      if (!key) return;
      for (const row of table.tBodies[0].rows) {
        const cell = row.cells[column];
        row.dataset[key] = cell.dataset.value ?? cell.textContent;
        shownAs.set(`${key} ${row.dataset[key]}`, cell.textContent);
      }
    });
  }

  // Filters: whatever has a tenant, layer, metric or world of its own and is of another one goes.
  const figures = [...document.querySelectorAll("figure")].map((figure) => {
    const curves = figure.querySelector("script.curves");
    return { figure, data: curves && JSON.parse(curves.textContent), plot: null };
  });
  const items = [...document.querySelectorAll("main tr, main figure, main details, main section, main li.card, main g.row")].filter((item) =>
    KEYS.some((key) => item.dataset[key]),
  );
  const lines = figures.flatMap(({ data }) => (data ? data.lines : []));
  const chosen = {};
  const fits = (of) => KEYS.every((key) => !chosen[key] || !of[key] || of[key] === chosen[key]);
  const controls = make("form", "controls");
  controls.setAttribute("aria-label", words.filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  const selects = [];
  for (const key of KEYS) {
    const values = [...new Set([...items.map((item) => item.dataset[key]), ...lines.map((line) => line[key])].filter(Boolean))];
    if (values.length < 2) continue;
    const label = make("label", "", `${words[key]} `);
    const select = make("select");
    select.id = `filter-${key}`;
    select.append(new Option(words.all, ""), ...values.map((value) => new Option(shownAs.get(`${key} ${value}`) ?? value, value)));
    select.addEventListener("change", () => {
      chosen[key] = select.value;
      filter();
    });
    label.append(select);
    controls.append(label);
    selects.push(select);
  }
  const all = button("all", words.show_all);
  all.addEventListener("click", () => {
    for (const select of selects) select.value = "";
    for (const key of KEYS) delete chosen[key];
    filter();
  });
  const status = make("output");
  if (selects.length > 0) controls.append(all, status);
  const bodyRows = [...document.querySelectorAll("main tbody tr")];
  const filter = () => {
    for (const item of items) item.classList.toggle("out", !fits(item.dataset));
    document.querySelectorAll("svg.rows").forEach(restack);
    for (const { plot, data } of figures) if (plot) showLines(plot, data);
    all.disabled = !KEYS.some((key) => chosen[key]);
    const n = bodyRows.filter((row) => !row.closest(".out")).length;
    status.textContent = fill(words.rows_shown, [n, bodyRows.length]);
  };
  // The rows of a picture move up to where others went.
  const restack = (svg) => {
    const { top, step, bottom } = svg.dataset;
    let n = 0;
    for (const row of svg.querySelectorAll("g.row")) {
      if (printing || !row.classList.contains("out")) row.setAttribute("transform", `translate(0 ${Number(top) + n++ * Number(step)})`);
    }
    const { width } = svg.viewBox.baseVal;
    svg.setAttribute("viewBox", `0 0 ${width} ${Number(top) + n * Number(step) + Number(bottom)}`);
  };

  // Charts. Times are local ones of the study's zone, if the browser knows it.
  const clockIn = (timeZone) => new Intl.DateTimeFormat("en-GB", { timeZone, month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const [zone, local] = (() => {
    try {
      return [words.zone, clockIn(words.zone)];
    } catch {
      return ["UTC", clockIn("UTC")];
    }
  })();
  const clock = (seconds, short) => {
    const t = Object.fromEntries(local.formatToParts(seconds * 1e3).map(({ type, value }) => [type, value]));
    const [day, hour] = [`${t.month}-${t.day}`, `${t.hour}:${t.minute}`];
    if (!short) return `${day} ${hour}`;
    return hour === "00:00" ? day : hour;
  };
  const plain = (v) => (Math.abs(v) >= 1e6 || (v !== 0 && Math.abs(v) < 1e-4) ? v.toExponential(2).replace("e+", "e").replace(".00e", "e") : String(Number(v.toPrecision(4))));
  const showY = {
    ratio: (v) => `${plain(v * v * 100)}%`,
    quality: (v) => v.toFixed(3),
    share: (v) => `${plain(v * 100)}%`,
  };
  // One axis for all curves; a ratio holds until it is changed, so steps are carried on.
  const join = (data) => {
    const scale = { ratio: Math.sqrt, quality: (v) => v / 1e4, share: (v) => v }[data.y];
    const scaled = (values) => values.map(scale);
    let xs = [];
    const tables = data.lines.map((line) => {
      xs = line.x ? line.x.map((x) => (data.t0 ?? 0) + x) : xs;
      return [xs, scaled(line.ys), ...(line.lo ? [scaled(line.lo), scaled(line.hi)] : [])];
    });
    const joined = uPlot.join(tables);
    let column = 1;
    data.lines.forEach((line, idx) => {
      const width = tables[idx].length - 1;
      const last = tables[idx][0].at(-1);
      if (line.step) {
        let held;
        joined[column] = joined[column].map((v, k) => {
          if (v !== undefined) held = v;
          return joined[0][k] <= last ? held : v;
        });
      }
      column += width;
    });
    return joined;
  };
  const showLines = (plot, data) => {
    plot.batch(() => {
      plot.lines.forEach(({ line, at, entry }) => {
        const show = fits(line) && !entry.off;
        entry.item.classList.toggle("out", !fits(line));
        for (let k = at; k < at + (line.lo ? 3 : 1); k++) if (plot.series[k].show !== show) plot.setSeries(k, { show });
      });
    });
  };
  const draw = (entry) => {
    const { figure, data } = entry;
    const picture = figure.querySelector(".picture");
    const live = make("div", "live");
    const area = make("div", "plot");
    area.tabIndex = 0;
    area.setAttribute("role", "group");
    area.setAttribute("aria-label", `${picture.getAttribute("aria-label")}. ${words.chart_keys}`);
    const reset = button("reset", words.reset_zoom);
    reset.disabled = true;
    const readout = make("div", "readout");
    const at = make("span", "at");
    const list = make("ul", "legend");
    readout.append(at, list, reset);
    live.append(readout, area);
    picture.before(live);
    figure.classList.add("drawn");

    const joined = join(data);
    const xs = joined[0];
    const [first, last] = [data.min, data.max].map((x) => (data.t0 ?? 0) + x);
    const showX = data.t0 === undefined ? plain : clock;
    const series = [{}];
    const bands = [];
    const entries = new Map();
    const drawn = data.lines.map((line) => {
      const at = series.length;
      const stroke = () => color(line.color);
      series.push({
        stroke,
        width: 2,
        dash: line.dash ? [6, 4] : undefined,
        paths: line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        points: { show: line.step || line.dash ? false : undefined, fill: () => color("paper"), stroke },
      });
      if (line.lo) {
        const edge = { stroke: "transparent", width: 0, points: { show: false } };
        series.push(edge, { ...edge });
        bands.push({ series: [at + 2, at + 1], fill: () => color(line.color, 0.16) });
      }
      const id = JSON.stringify([line.tenant, line.name]);
      if (!entries.has(id)) {
        const item = make("li");
        const toggle = button("series");
        const swatch = make("span", "swatch");
        swatch.style.background = `var(--${line.color})`;
        const value = make("span", "value");
        toggle.append(swatch, make("span", "", line.name), value);
        toggle.setAttribute("aria-pressed", "true");
        item.append(toggle);
        list.append(item);
        entries.set(id, { item, toggle, value, off: false });
      }
      return { line, at, entry: entries.get(id) };
    });
    for (const it of entries.values()) {
      it.toggle.addEventListener("click", () => {
        it.off = !it.off;
        it.toggle.setAttribute("aria-pressed", String(!it.off));
        showLines(plot, data);
      });
    }
    const valuesAt = (idx) => {
      at.textContent = data.t0 === undefined ? `${data.x} ${showX(xs[idx])}` : `${showX(xs[idx])} ${zone}`;
      const texts = new Map();
      for (const { line, at, entry } of drawn) {
        const v = joined[at][idx];
        if (v === undefined || v === null) continue;
        const show = showY[data.y];
        texts.set(entry, line.lo ? `${show(v)} [${show(joined[at + 1][idx])}, ${show(joined[at + 2][idx])}]` : show(v));
      }
      for (const it of entries.values()) it.value.textContent = texts.get(it) ?? "–";
    };
    const marks = (u) => {
      const { ctx, bbox } = u;
      const px = devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = color("ink", 0.4);
      ctx.fillStyle = color("ink");
      ctx.lineWidth = px;
      ctx.font = `${12 * px}px system-ui, sans-serif`;
      let free = -Infinity;
      for (const [x, text] of data.marks) {
        const left = u.valToPos((data.t0 ?? 0) + x, "x", true);
        if (left < bbox.left || left > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(left, bbox.top);
        ctx.lineTo(left, bbox.top + bbox.height);
        ctx.stroke();
        const width = ctx.measureText(text).width;
        const place = Math.min(left - width / 2, bbox.left + bbox.width - width);
        if (place > free) {
          ctx.fillText(text, place, bbox.top - 5 * px);
          free = place + width + 6 * px;
        }
      }
      ctx.restore();
    };
    const axis = { stroke: () => color("soft"), grid: { stroke: () => color("line"), width: 1 }, ticks: { stroke: () => color("line"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18 };
    const y = {
      ratio: { range: [-0.03, 1.05] },
      quality: { range: (_, low, high) => [Math.max(0, (low ?? 0) - 0.01), Math.min(1, (high ?? 1) + 0.01)] },
      share: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high ?? 1) * 1.05, 1e-9)] },
    }[data.y];
    const yAxis = {
      ratio: { splits: () => [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1].map(Math.sqrt), values: (_, at) => at.map((v) => `${Math.round(v * v * 100)}%`) },
      quality: { values: (_, at) => at.map((v) => String(Number(v.toFixed(3)))) },
      share: { values: (_, at) => at.map((v) => `${plain(v * 100)}%`) },
    }[data.y];
    const width = () => Math.max(area.clientWidth, 200);
    const height = 280;
    const isZoomed = (u) => u.scales.x.min > first || u.scales.x.max < last;
    const plot = new uPlot(
      {
        width: width(),
        height,
        padding: [20, 16, 0, 0],
        tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), zone),
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false } },
        scales: { x: { time: data.t0 !== undefined, range: (_, low, high) => [low ?? first, high ?? last] }, y },
        axes: [
          { ...axis, space: 64, size: 34, label: data.t0 === undefined ? data.x : zone, values: (_, at) => at.map((x) => showX(x, true)) },
          { ...axis, size: 56, label: data.y_name, ...yAxis },
        ],
        series,
        bands,
        hooks: {
          draw: [marks],
          setCursor: [(u) => valuesAt(u.cursor.idx ?? xs.length - 1)],
          setScale: [(u, key) => key === "x" && (reset.disabled = !isZoomed(u))],
        },
      },
      joined,
      area,
    );
    plot.lines = drawn;
    entry.plot = plot;
    const whole = () => plot.setScale("x", { min: first, max: last });
    whole();
    valuesAt(xs.length - 1);
    reset.addEventListener("click", () => {
      whole();
      area.focus();
    });
    const zoom = (factor) => {
      const { min, max } = plot.scales.x;
      const middle = plot.cursor.idx === null || plot.cursor.idx === undefined ? (min + max) / 2 : xs[plot.cursor.idx];
      plot.setScale("x", { min: Math.max(first, middle - (middle - min) * factor), max: Math.min(last, middle + (max - middle) * factor) });
    };
    area.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        const idx = Math.min(Math.max((plot.cursor.idx ?? xs.length - 1) + step * (event.shiftKey ? 10 : 1), 0), xs.length - 1);
        plot.setCursor({ left: plot.valToPos(xs[idx], "x"), top: 1 });
      } else if (event.key === "+" || event.key === "=") zoom(0.5);
      else if (event.key === "-") zoom(2);
      else if (event.key === "0" || event.key === "Escape") whole();
      else return;
      event.preventDefault();
    });
    new ResizeObserver(() => {
      if (area.clientWidth > 0 && Math.abs(width() - plot.width) > 1) plot.setSize({ width: width(), height });
    }).observe(area);
    showLines(plot, data);
  };
  // A chart is drawn when it comes near: a page may have hundreds.
  const near = new IntersectionObserver(
    (seen) => {
      for (const { target, isIntersecting } of seen) {
        const entry = figures.find(({ figure }) => figure === target);
        if (isIntersecting && !entry.plot) {
          near.unobserve(target);
          draw(entry);
        }
      }
    },
    { rootMargin: "600px" },
  );

  // Charts as files: the picture in the colours of the page, as SVG or PNG.
  const asFile = (figure) => {
    const shown = figure.querySelector(".picture svg");
    const svg = shown.cloneNode(true);
    const { width, height } = shown.viewBox.baseVal;
    for (const hidden of svg.querySelectorAll(".out")) hidden.remove();
    for (const part of [svg, ...svg.querySelectorAll("*")]) {
      for (const { name, value } of [...part.attributes]) {
        const found = value.match(/^var\(--(\w+)\)$/);
        if (found) part.setAttribute(name, color(found[1]).replace("rgba", "rgb").replace(/, 1\)$/, ")"));
      }
    }
    for (const [name, value] of Object.entries({ width, height, "font-family": "system-ui, sans-serif" })) svg.setAttribute(name, value);
    const of = (tag, text) => Object.assign(document.createElementNS(svg.namespaceURI, tag), { textContent: text });
    const paper = of("rect", "");
    for (const [name, value] of Object.entries({ width, height, fill: color("paper").replace("rgba", "rgb").replace(/, 1\)$/, ")") })) paper.setAttribute(name, value);
    svg.prepend(of("title", figure.querySelector("figcaption").textContent), of("desc", figure.querySelector(".picture").getAttribute("aria-label")), paper);
    return { text: new XMLSerializer().serializeToString(svg), width, height };
  };
  const save = (figure, kind, blob) => {
    const name = figure.querySelector("figcaption").textContent.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    const link = Object.assign(make("a"), { href: URL.createObjectURL(blob), download: `${name}.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const saveSvg = (figure) => save(figure, "svg", new Blob([asFile(figure).text], { type: "image/svg+xml" }));
  const savePng = (figure) => {
    const { text, width, height } = asFile(figure);
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = Object.assign(make("canvas"), { width: 2 * width, height: 2 * height });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(image.src);
      canvas.toBlob((blob) => save(figure, "png", blob));
    });
    image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  };
  for (const { figure } of figures) {
    const tools = make("div", "tools");
    for (const [kind, press] of [["SVG", saveSvg], ["PNG", savePng]]) {
      const tool = button("tool", kind);
      tool.setAttribute("aria-label", fill(words.save_as, [kind]));
      tool.addEventListener("click", () => press(figure));
      tools.append(tool);
    }
    figure.append(tools);
  }

  // Links to layers and checks: they open the folded parts around their target, and a press copies them.
  const reveal = () => {
    let target = null;
    try {
      target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return; // No page makes such a link.
    }
    if (!target) return;
    if (target.closest(".out")) all.click();
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  const said = document.body.appendChild(make("p", "said"));
  said.setAttribute("role", "status");
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.anchor");
    if (!link || !navigator.clipboard) return;
    try {
      await navigator.clipboard.writeText(link.href);
    } catch {
      return; // The link still works; nothing is claimed.
    }
    said.textContent = words.copied;
    setTimeout(() => (said.textContent = ""), 2000);
  });

  // Dark and light.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const theme = button("theme", "");
  const repaint = () => {
    theme.textContent = isDark() ? words.to_light : words.to_dark;
    colors = new Map();
    for (const { plot } of figures) if (plot) plot.redraw(false, true);
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  system.addEventListener("change", repaint);
  controls.append(theme);
  const answer = document.querySelector(".answer");
  if (answer) answer.after(controls);
  else document.querySelector("main").before(controls);

  // Paper shows everything, whatever the screen hides.
  let printing = false;
  const onPaper = (is) => {
    if (is === printing) return;
    printing = is;
    for (const part of document.querySelectorAll("details")) {
      if (is) {
        part.dataset.open = part.open;
        part.open = true;
      } else part.open = part.dataset.open === "true";
    }
    document.querySelectorAll("svg.rows").forEach(restack);
  };
  const paper = matchMedia("print");
  paper.addEventListener("change", (media) => onPaper(media.matches));
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));

  repaint();
  filter();
  onPaper(paper.matches);
  reveal();
  for (const { figure, data } of figures) if (data) near.observe(figure);
})();
