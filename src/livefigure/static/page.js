/*
 * Live figures on a page: no kernel, no framework. Each figure's data come from files of its
 * own that call livefigure(header, body).
 */
const figures = new Map();

class LiveFigure {
  constructor(root) {
    this.root = root;
    this.form = root.querySelector("form");
    this.picture = new Picture(root.querySelector("svg"));
    this.caption = root.querySelector("figcaption");
    this.names = [...new Set([...this.form.elements].map((input) => input.name).filter(Boolean))];
    this.known = {};
    this.parts = [];
    this.first = this.caption.textContent;
    this.ints = [];
    this.status = root.appendChild(document.createElement("p"));
    this.status.className = "livefigure-status";
    this.status.setAttribute("role", "status");
    this.form.hidden = false;
    this.form.addEventListener("input", () => this.update(true));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => this.update(true)));
    this.form.addEventListener("click", (event) => event.target.dataset.play && this.play(event.target));
    drag(this.picture.svg, (positions) => this.move(positions));
    const observer = new ResizeObserver(() => {
      reflow(this.picture.svg);
      // On a phone the controls stay in view while one scrolls, unless they would fill it.
      this.form.toggleAttribute("data-sticky", this.form.offsetHeight < 0.4 * innerHeight);
    });
    observer.observe(root);
    new IntersectionObserver((entries, self) => {
      if (entries.some((entry) => entry.isIntersecting)) self.disconnect(), this.load();
    }, { rootMargin: "100% 0px" }).observe(root);
  }

  input(name) {
    return this.form.elements[name];
  }

  position(name) {
    const input = this.input(name);
    return input.type === "checkbox" ? +input.checked : +input.value;
  }

  /** The words for the positions of a control. */
  words(name) {
    return (this.known[name] ??= this.read(this.input(name)));
  }

  read(input) {
    if (input.dataset?.words) return JSON.parse(input.dataset.words);
    if (input.options) return [...input.options].map((option) => option.text);
    if (input.type === "checkbox") return ["off", "on"];
    return [...input].map((radio) => radio.parentElement.textContent);
  }

  /** Set controls to positions and draw. */
  move(positions) {
    for (const name in positions) {
      const input = this.input(name);
      if (input.type === "checkbox") input.checked = !!positions[name];
      else input.value = positions[name];
    }
    this.update(true);
  }

  update(moved) {
    for (const input of this.form.querySelectorAll("[data-words]")) {
      const words = this.words(input.name)[input.value];
      input.setAttribute("aria-valuetext", words);
      this.form.querySelector(`output[for="${input.id}"]`).value = words;
    }
    if (moved) this.remember();
    const state = this.names.map((name) => this.position(name));
    const part = this.parts.find(({ box }) =>
      box.every(([first, count], k) => state[k] >= first && state[k] < first + count));
    this.root.toggleAttribute("data-pending", !part);
    if (!part) return this.lack();
    const before = this.part === part && this.state;
    for (const { slot, templates, chosen, plans, controls } of part.slots) {
      if (before && !controls.some((k) => state[k] !== before[k])) continue;
      const choice = chosen.get(chosen.row(state), 0);
      this.picture.show(slot, part, templates[choice], gather(plans[choice], state, this.ints));
    }
    [this.part, this.state] = [part, state];
    this.caption.textContent = part.strings[part.captions.get(part.captions.row(state), 0)];
    if (moved) {
      clearTimeout(this.saying);
      this.saying = setTimeout(() => (this.status.textContent = this.caption.textContent), 600);
    }
  }

  /** Say that the state to show has not arrived. */
  lack() {
    if (this.root.dataset.state === "failed") this.caption.textContent = this.first;
    else this.caption.textContent = this.loading?.length ? "Loading this state …" : "This state could not be loaded.";
  }

  /** Put the state into the address, so that a link shows what one sees. */
  remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const pairs = this.names.map((name) =>
        `${name}=${encodeURIComponent(this.words(name)[this.position(name)])}`);
      try {
        history.replaceState(history.state, "", `#${this.root.id}:${pairs.join(",")}`);
      } catch {
        // Some browsers limit how often an address may change; the figure works without.
      }
    }, 150);
  }

  /** Take up a state that was written by remember(). */
  recall(text) {
    const positions = {};
    for (const pair of text.split(",")) {
      const [name, word] = pair.split("=");
      const position = this.names.includes(name)
        ? this.words(name).findIndex((known) => encodeURIComponent(known) === word || known === word)
        : -1;
      if (position >= 0) positions[name] = position;
    }
    this.move(positions);
    this.root.scrollIntoView({ block: "center" });
    this.load();
  }

  play(button) {
    const input = this.input(button.dataset.play);
    const stop = () => {
      clearInterval(this.playing);
      this.playing = null;
      button.textContent = "Play";
    };
    const step = () => {
      const last = +input.value === +input.max;
      this.move({ [input.name]: last ? 0 : +input.value + 1 });
      if (+input.value === +input.max) stop();
    };
    if (this.playing) return stop();
    step();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    button.textContent = "Pause";
    this.playing = setInterval(step, +button.dataset.interval);
  }

  load() {
    if (this.loading) return;
    this.loading = this.root.dataset.src.split(" ");
    this.next();
  }

  /** Ask for the data files one after another; one that is bad does not keep the rest away. */
  next() {
    const source = this.loading[0];
    if (!source) return this.finish();
    const script = document.createElement("script");
    const done = (reason) => {
      script.remove();
      this.loading.shift();
      this.reason ??= reason;
      this.next();
    };
    script.src = source;
    script.onerror = () => done("its data could not be loaded");
    script.onload = () => {
      const reason = this.arrived ? null : "its data are damaged";
      this.arrived = false;
      done(reason);
    };
    document.head.append(script);
  }

  receive(header, body) {
    this.arrived = true;
    try {
      const part = decode(header, body);
      this.parts.push(part);
      this.root.dataset.state = "live";
      this.update(false);
      // What the first frame does not show is built now, or a first move would have to wait for it.
      (window.requestIdleCallback ?? setTimeout)(() => {
        for (const { slot, templates } of part.slots)
          for (const template of templates) this.picture.prepare(slot, part, template);
      });
    } catch (error) {
      this.reason ??= error.message;
    }
  }

  /** All has arrived that will: say what is missing. */
  finish() {
    if (!this.reason) return;
    const note = document.createElement("p");
    note.className = "livefigure-note";
    if (this.parts.length) {
      note.textContent = `This figure lacks some of its states: ${this.reason}.`;
    } else {
      note.textContent = `This figure shows its first state only: ${this.reason}.`;
      this.root.dataset.state = "failed";
      this.form.reset();
      for (const input of this.form.elements) input.disabled = true;
    }
    this.form.after(note);
    this.update(false);
  }
}

function recall() {
  const [, id, text] = /^#([a-z][a-z0-9_]*):(.*)$/.exec(location.hash) ?? [];
  if (figures.has(id)) figures.get(id).recall(text);
}

window.livefigure = (header, body) => figures.get(header.id)?.receive(header, body);
for (const root of document.querySelectorAll("figure.livefigure"))
  figures.set(root.id, new LiveFigure(root));
addEventListener("hashchange", recall);
recall();
