// The page: the keys and the mouse, the search, the details of what is followed.

const STEP = 1.25; // of zooming
const SCALES = [0.02, 8];
const FOUND = 1000; // an edge list in the details is no longer

const find = (id) => document.getElementById(id);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** An element of HTML with text. */
function node(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(text);
  return made;
}

// ----- where one looks -----

/** The part of the picture that is seen: the point (x, y) of it in the corner, at a scale. */
class View {
  constructor(svg, group) {
    Object.assign(this, { svg, group, x: 0, y: 0, scale: 1 });
  }

  get size() {
    return [this.svg.clientWidth || 800, this.svg.clientHeight || 600];
  }

  show() {
    this.group.setAttribute("transform", `scale(${this.scale}) translate(${-this.x} ${-this.y})`);
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.show();
  }

  /** Zooms so that the point of the picture under the pixel (px, py) stays there. */
  zoom(factor, px = this.size[0] / 2, py = this.size[1] / 2) {
    const scale = clamp(this.scale * factor, ...SCALES);
    this.x += px / this.scale - px / scale;
    this.y += py / this.scale - py / scale;
    this.scale = scale;
    this.show();
  }

  /** Shows all of a picture, no larger than it is; or else, unless it is `all`, as much as can be read of its top. */
  fit([width, height], all = true) {
    const [w, h] = this.size, whole = Math.min(w / width, h / height, 1);
    this.scale = clamp(all ? whole : Math.max(whole, clamp(w / width, 0.5, 1)), ...SCALES);
    this.x = width / 2 - w / this.scale / 2;
    this.y = Math.min(0, height / 2 - h / this.scale / 2);
    this.show();
  }

  /** Brings a box into sight, if it is not. */
  reach({ x, y, width, height }) {
    const [w, h] = this.size.map((pixels) => pixels / this.scale);
    const inside = (at, half, from, room) => at - half >= from && at + half <= from + room;
    if (!inside(x, width / 2, this.x, w)) this.x = x - w / 2;
    if (!inside(y, height / 2, this.y, h)) this.y = y - h / 2;
    this.show();
  }
}

// ----- the page -----

class Page {
  constructor(data) {
    this.model = new Model(data);
    this.svg = find("graph");
    this.view = new View(this.svg, find("view"));
    this.current = null; // the thing that is followed
    this.matches = [];
    this.at = -1; // which of the matches is current
    for (const note of data.notes) find("notes").append(node("li", note));
    this.draw();
    this.view.fit(this.picture.size, false);
    this.listen();
  }

  /** Draws what is seen anew; the thing `still` stays where it was on the screen. */
  draw(still = null) {
    const before = still === null ? null : this.placeOf(still);
    this.picture = new Picture(this.model);
    find("view").replaceChildren(...this.picture.elements());
    const after = still === null ? null : this.placeOf(still);
    if (before && after) {
      this.view.x += after.x - before.x;
      this.view.y += after.y - before.y;
    }
    this.view.show();
    if (this.current !== null) this.current = this.model.seenAs(this.current);
    this.mark();
  }

  /** The upper middle of a thing, as a box or as a frame; null where it is not seen. */
  placeOf(thing) {
    const box = this.picture.boxes.get(thing), frame = this.picture.frames.get(thing - this.model.n);
    if (box) return { x: box.x, y: box.y - box.height / 2 };
    return frame ? { x: frame.x + frame.width / 2, y: frame.y } : null;
  }

  // ----- following -----

  /** Follows a thing: marks what it reads and what reads it, and says what is known of it. */
  follow(thing, focus = true) {
    this.model.reveal(thing);
    const unseen = !this.picture.boxes.has(this.model.seenAs(thing));
    this.current = this.model.seenAs(thing);
    if (unseen) this.draw();
    this.mark();
    this.view.reach(this.picture.boxes.get(this.current));
    if (focus) this.picture.boxes.get(this.current).element.focus({ preventScroll: true });
    this.tell();
  }

  letGo() {
    this.current = null;
    this.mark();
    this.tell();
  }

  /** Gives every box and edge the classes of what it is to the current one and to the search. */
  mark() {
    const shut = this.matches.filter((thing) => !this.model.isOpen(thing));
    const found = new Set(shut.map((thing) => this.model.seenAs(thing))), kin = new Map();
    for (const { arrow, path } of this.picture.edges) {
      const from = this.picture.seen.things[arrow.from], to = this.picture.seen.things[arrow.to];
      path?.classList.toggle("source", to === this.current);
      path?.classList.toggle("user", from === this.current && to !== from);
      if (to === this.current) kin.set(from, "source");
      if (from === this.current) kin.set(to, "user");
    }
    const first = this.picture.seen.things.at(-1);
    for (const [thing, { element: box }] of this.picture.boxes) {
      box.classList.toggle("current", thing === this.current);
      box.classList.toggle("source", kin.get(thing) === "source");
      box.classList.toggle("user", kin.get(thing) === "user");
      box.classList.toggle("match", found.has(thing));
      box.setAttribute("tabindex", thing === (this.current ?? first) ? 0 : -1);
    }
    this.svg.classList.toggle("followed", this.current !== null);
  }

  /** The details of the current thing. */
  tell() {
    const details = find("details");
    details.hidden = this.current === null;
    if (this.current === null) return;
    const [title, ...lines] = this.model.of(this.current).hover;
    const parts = [node("h2", title ?? "value"), ...lines.map((line) => node("p", line))];
    for (const [side, told] of [["source", "reads, in solid blue"], ["target", "is read by, in dashed orange"]]) {
      const others = this.model.neighbours(this.current, side);
      if (!others.length) continue;
      parts.push(node("h3", told, { className: side === "source" ? "source" : "user" }), this.list(others));
    }
    const thing = this.current, group = this.model.isGroup(thing);
    const toggle = node("button", group ? "unfold" : "fold the group around it", { onclick: () => this.toggle(thing) });
    if (group || this.model.around(thing) >= 0) parts.push(toggle);
    details.replaceChildren(...parts);
  }

  /** A list of buttons that lead to nodes. */
  list(nodes) {
    const list = document.createElement("ul");
    for (const other of nodes.slice(0, FOUND)) {
      const { lines } = this.model.of(other);
      const button = node("button", lines.slice(0, 2).join(", "), { onclick: () => this.follow(other) });
      list.append(node("li", button));
    }
    if (nodes.length > FOUND) list.append(node("li", `and ${nodes.length - FOUND} more`));
    return list;
  }

  // ----- folding -----

  /** Unfolds a folded group, or folds the group around a node. */
  toggle(thing) {
    const g = this.model.isGroup(thing) ? thing - this.model.n : this.model.around(thing);
    if (g >= 0) this.setOpen(g, this.model.isGroup(thing));
  }

  setOpen(g, open) {
    const group = this.model.n + g;
    this.model.open[g] = open;
    this.current = this.model.seenAs(group);
    this.draw(group);
    this.follow(this.current);
  }

  openSome(most) {
    this.model.openSome(most);
    const folded = most && this.model.open.includes(false);
    find("found").value = folded ? "some groups stay folded: there is too much in them" : "";
    this.draw();
    this.view.fit(this.picture.size, false);
    this.tell();
  }

  // ----- searching -----

  search(text) {
    this.matches = this.model.search(text);
    this.at = -1;
    this.mark();
    const count = this.matches.length;
    find("found").value = !text.trim() ? "" : count ? `${count} found` : "nothing found";
  }

  nextMatch(step) {
    const count = this.matches.length;
    if (!count) return;
    this.at = this.at < 0 ? (step > 0 ? 0 : count - 1) : (this.at + step + count) % count;
    const thing = this.matches[this.at], group = this.model.isGroup(thing);
    if (group) this.model.open[thing - this.model.n] = false;
    this.model.reveal(thing);
    this.current = thing;
    this.draw();
    this.follow(thing, false);
    find("found").value = `${this.at + 1} of ${count}`;
  }

  // ----- events -----

  listen() {
    const search = find("search");
    search.addEventListener("input", () => this.search(search.value));
    search.addEventListener("keydown", (event) => this.searchKey(event));
    document.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("click", (event) => this.click(event));
    this.svg.addEventListener("dblclick", (event) => this.doubleClick(event));
    this.svg.addEventListener("focusin", (event) => this.focused(event));
    this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.listenToButtons();
    listenToDrags(this.svg, this.view);
    listenToHover(this.svg, (thing) => this.model.of(thing).hover);
  }

  listenToButtons() {
    const actions = {
      unfold: () => this.openSome(MOST),
      fold: () => this.openSome(0),
      in: () => this.view.zoom(STEP),
      out: () => this.view.zoom(1 / STEP),
      fit: () => this.view.fit(this.picture.size),
      help: toggleHelp,
    };
    for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", action);
  }

  searchKey(event) {
    if (event.key === "Enter") this.nextMatch(event.shiftKey ? -1 : 1);
    if (event.key !== "Escape") return;
    find("search").value = "";
    this.search("");
    this.focusGraph();
    event.stopPropagation();
  }

  focusGraph() {
    this.svg.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }

  /** Keys that work everywhere but where one writes; those of boxes only on boxes. */
  key(event) {
    if (event.target.matches("input") || event.ctrlKey || event.altKey || event.metaKey) return;
    const everywhere = {
      "/": () => (find("search").focus(), find("search").select()),
      "+": () => this.view.zoom(STEP),
      "=": () => this.view.zoom(STEP),
      "-": () => this.view.zoom(1 / STEP),
      0: () => this.view.fit(this.picture.size),
      "?": toggleHelp,
      Escape: () => this.letGo(),
    };
    const action = everywhere[event.key] ?? this.boxKeys(event.target)[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** What the keys do on a box, on a group's heading, and where nothing in the graph has the focus. */
  boxKeys(target) {
    const heading = target.closest(".heading"), box = target.closest(".box");
    if (heading) return { Enter: () => this.setOpen(Number(heading.dataset.group), false) };
    if (!box) return target.matches("button") ? {} : { ArrowDown: () => this.focusGraph(), ArrowUp: () => this.focusGraph() };
    const thing = Number(box.dataset.thing), things = this.picture.seen.things;
    const go = (other) => other !== null && other !== undefined && this.follow(other);
    return {
      ArrowUp: () => go(this.seenNeighbours(thing, "source")[0]),
      ArrowDown: () => go(this.seenNeighbours(thing, "target")[0]),
      ArrowLeft: () => go(this.picture.beside(thing, -1)),
      ArrowRight: () => go(this.picture.beside(thing, 1)),
      Home: () => go(things[0]),
      End: () => go(things.at(-1)),
      Enter: () => this.toggle(thing),
      " ": () => this.toggle(thing),
    };
  }

  /** The boxes that a box reads or that read it, from left to right. */
  seenNeighbours(thing, side) {
    const things = new Set(this.model.neighbours(thing, side).map((other) => this.model.seenAs(other)));
    return [...things].sort((a, b) => this.picture.boxes.get(a).x - this.picture.boxes.get(b).x);
  }

  click(event) {
    const heading = event.target.closest(".heading"), box = event.target.closest(".box");
    if (heading) return this.setOpen(Number(heading.dataset.group), false);
    if (box) return this.follow(Number(box.dataset.thing));
    return this.letGo();
  }

  doubleClick(event) {
    const box = event.target.closest(".box");
    if (box) this.toggle(Number(box.dataset.thing));
  }

  /** With the Tab key one comes to a box that is not followed yet. */
  focused(event) {
    const box = event.target.closest(".box");
    if (box && Number(box.dataset.thing) !== this.current && event.target.matches(":focus-visible")) {
      this.follow(Number(box.dataset.thing), false);
    }
  }

  wheel(event) {
    event.preventDefault();
    const { left, top } = this.svg.getBoundingClientRect();
    this.view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - left, event.clientY - top);
  }
}

function toggleHelp() {
  find("keys").hidden = !find("keys").hidden;
  find("help").setAttribute("aria-expanded", String(!find("keys").hidden));
}

/** One pointer moves the picture, two zoom it; a click that follows a move is none. */
function listenToDrags(svg, view) {
  const pointers = new Map();
  let moved = 0;
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };
  const move = (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = spread(), dx = event.clientX - last.x, dy = event.clientY - last.y;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4) svg.classList.add("dragged");
    view.move(dx / pointers.size, dy / pointers.size);
    const { left, top } = svg.getBoundingClientRect();
    if (before) view.zoom(spread() / before, event.clientX - left, event.clientY - top);
  };
  const end = (event) => {
    pointers.delete(event.pointerId);
    svg.classList.remove("dragged");
  };
  svg.addEventListener("pointerdown", (event) => {
    moved = pointers.size ? moved : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end);
  window.addEventListener("pointercancel", end);
  svg.addEventListener("click", (event) => moved > 4 && event.stopImmediatePropagation(), true);
}

/** Beside the mouse stands what is known of the box under it. */
function listenToHover(svg, lines) {
  const tip = find("tip");
  svg.addEventListener("pointermove", (event) => {
    const box = event.pointerType === "mouse" && !event.buttons ? event.target.closest(".box") : null;
    tip.hidden = !box;
    if (!box) return;
    tip.textContent = lines(Number(box.dataset.thing)).join("\n");
    const { left, top, width, height } = svg.getBoundingClientRect();
    tip.style.left = `${clamp(event.clientX - left + 14, 0, width - tip.offsetWidth)}px`;
    tip.style.top = `${clamp(event.clientY - top + 14, 0, height - tip.offsetHeight)}px`;
  });
  svg.addEventListener("pointerleave", () => (tip.hidden = true));
}

/** Light or dark as the system is, until the button says otherwise. */
function listenToTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)"), button = find("theme");
  let chosen = null;
  const apply = () => {
    const theme = chosen ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "light" : "dark";
  };
  system.addEventListener("change", apply);
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    apply();
  });
  apply();
}

listenToTheme();
new Page(JSON.parse(find("data").textContent));
