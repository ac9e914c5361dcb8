/* Cells and drills that run: loaded on the first click or key. One Python for the page, in a
   worker; what JavaScript need not do is done there, by runner.py. The build puts FILES, where
   everything is, before this text. */

const { store, make, home, cells, drills, showFollowUp } = window.pagepython;
const at = (file) => ({ ...file, url: new URL(file.path, home).href });
const MEGABYTE = 1e6;
const START_SECONDS = 30; // from the last byte to Python's readiness
const CELL_SECONDS = 10;
const GRADE_SECONDS = 20;
const HEAVY = 500e6; // bytes of memory from which a restart is offered
const NUMBER_OF = new Map(cells.map((cell) => [cell, Number(cell.dataset.cell)]));
const runnable = cells.filter((cell) => cell.matches(".runnable"));

document.head.append(make("link", { rel: "stylesheet", href: new URL(FILES.style, home) }));

// --- what is said -----------------------------------------------------------------------------

const spoken = make("p", { className: "run-spoken" });
spoken.setAttribute("aria-live", "polite");
document.body.append(spoken);

const part = (owner, name) => owner.querySelector(`:scope .${name}`);
const nameOf = (owner) => owner.dataset.drill ?? `Cell ${owner.dataset.cell}`;
const note = (owner, text, aloud = false) => {
  part(owner, "run-note").textContent = text;
  if (aloud) spoken.textContent = `${nameOf(owner)}: ${text}`;
};
const button = (owner, action) => owner.querySelector(`[data-action="${action}"]`);
const setState = (owner, state) => {
  owner.dataset.state = state;
  const busy = state === "loading" || state === "running";
  button(owner, "stop").hidden = !busy;
  button(owner, owner.dataset.drill ? "grade" : "run").disabled = busy;
};

// --- Python: one worker and its life ------------------------------------------------------------

/** What ends a job from outside: a stop, a limit, a missing file. */
class Ended extends Error {
  constructor(state, text) {
    super(text);
    this.state = state;
  }
}

let code = null; // address of the worker's code, kept: a restart then needs no network
let life = null; // the worker, its promise, the job it does
let loaded = 0; // bytes
let listener = () => {}; // hears how far the loading is

/** Say what is wrong with a file that the browser refuses: it does not tell a script. */
const fault = async ({ name, url }) => {
  try {
    const { ok, status } = await fetch(url, { cache: "reload" });
    return ok
      ? `${name} is damaged: it is not the file that the page expects.`
      : `${name} is missing (the server answered ${status}).`;
  } catch {
    return `${name} cannot be reached: is the network there?`;
  }
};

const workerCode = async () => {
  const file = at(FILES.worker);
  let text;
  try {
    const response = await fetch(file.url, { integrity: file.integrity, cache: "force-cache" });
    text = await response.text();
  } catch {
    throw new Ended("error", await fault(file));
  }
  progress(FILES.worker.bytes);
  return URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
};

const progress = (bytes) => {
  loaded += bytes;
  const done = Math.min(loaded, FILES.bytes);
  listener(
    done < FILES.bytes
      ? `Loading Python: ${(done / MEGABYTE).toFixed(1)} of ${(FILES.bytes / MEGABYTE).toFixed(1)} MB`
      : "Starting Python",
  );
  if (done === FILES.bytes && life && !life.timer)
    life.timer = setTimeout(
      () => end(new Ended("error", `Python did not start within ${START_SECONDS} seconds.`)),
      START_SECONDS * 1000,
    );
};

/** End the worker, and with it all variables; whoever waits for it hears why. */
const end = (reason) => {
  if (!life) return;
  const { worker, timer, reject, job } = life;
  life = null;
  clearTimeout(timer);
  worker?.terminate();
  for (const cell of runnable) cell.ran = undefined;
  job?.reject(reason);
  reject?.(reason);
};

const receive = (mine, { kind, id, ...data }) => {
  if (life !== mine) return; // from a worker that was ended
  if (kind === "part") progress(data.bytes);
  else if (kind === "ready") mine.resolve();
  else if (kind === "failed") end(new Ended("error", data.text));
  else if (mine.job?.id !== id) return;
  else if (kind === "output") mine.job.onOutput(data.stream, data.text);
  else if (kind === "done") mine.job.resolve(data);
};

const elsewhere = () =>
  cells
    .filter((cell) => !runnable.includes(cell))
    .map((cell) => [NUMBER_OF.get(cell), cell.querySelector(".cell_input pre")?.textContent ?? ""]);

/** Start Python unless it is there; the promise holds when it is ready. */
const start = () => {
  if (life) return life.ready;
  loaded = code ? FILES.worker.bytes : 0;
  const mine = (life = {});
  mine.ready = new Promise((resolve, reject) => Object.assign(mine, { resolve, reject }));
  mine.ready.then(() => clearTimeout(mine.timer), () => {});
  (async () => {
    code ??= await workerCode();
    if (life !== mine) return;
    mine.worker = new Worker(code, { type: "module" });
    mine.worker.onmessage = ({ data }) => receive(mine, data);
    mine.worker.onerror = (event) => {
      event.preventDefault();
      end(new Ended("error", `Python did not start: ${event.message ?? "the browser refuses it"}.`));
    };
    mine.worker.postMessage({
      kind: "boot",
      files: FILES.runtime.map(at),
      index: new URL(FILES.index, home).href,
      modules: at(FILES.modules),
      elsewhere: elsewhere(),
      limit: (navigator.deviceMemory ?? 4) <= 2 ? 2 ** 29 : 2 ** 30,
    });
  })().catch(end);
  return mine.ready;
};

let jobs = 0;

/** Give the worker a job; `seconds` is its limit. */
const ask = async (job, seconds, onOutput = () => {}) => {
  await start();
  const mine = life;
  const id = ++jobs;
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      mine.job = { id, resolve, reject, onOutput };
      timer = setTimeout(() => end(new Ended("stopped", limitText(seconds))), seconds * 1000);
      mine.worker.postMessage({ ...job, id });
    });
  } finally {
    clearTimeout(timer);
    mine.job = null;
  }
};

const KEPT = "Its code and output are kept; variables are gone, and cells before it will run again.";
const limitText = (seconds) => `Stopped at the limit of ${seconds} seconds. ${KEPT}`;

// --- code and its editor ------------------------------------------------------------------------

const block = (owner) => part(owner, owner.dataset.drill ? "drill-code" : "cell_input");
const built = (owner) => owner.starter ?? (owner.starter = block(owner).querySelector("pre").textContent.trimEnd());
for (const owner of [...runnable, ...drills]) built(owner);
const codeOf = (owner) =>
  owner.editor?.value ?? store.read(owner.dataset.drill)?.code ?? built(owner);

let editorLoaded = null;
const loadEditor = () => {
  editorLoaded ??= Promise.all(
    ["script", "style"].map(
      (kind) =>
        new Promise((resolve, reject) => {
          const url = new URL(FILES.editor[kind], home);
          const element =
            kind === "script" ? make("script", { src: url }) : make("link", { rel: "stylesheet", href: url });
          element.onload = resolve;
          element.onerror = () => {
            editorLoaded = null;
            reject(new Ended("error", "The editor could not be loaded: is the network there?"));
          };
          document.head.append(element);
        }),
    ),
  );
  return editorLoaded;
};

const edit = async (owner) => {
  if (!owner.editor) {
    await loadEditor();
    if (owner.editor) return; // two clicks
    const place = make("div", { className: "run-editor" });
    const shown = block(owner);
    const what = owner.dataset.drill ? `Code of ${nameOf(owner)}` : `Code of cell ${owner.dataset.cell}`;
    shown.firstElementChild.before(place);
    shown.classList.add("edited");
    owner.editor = pagepythonEditor.create(place, {
      code: codeOf(owner),
      label: `${what}. Escape, then Tab, leaves the editor.`,
      onUpdate: () => changed(owner),
    });
    owner.editor.textarea.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      act(owner, owner.dataset.drill ? "grade" : "run");
    }, { capture: true });
    button(owner, "edit").hidden = true;
  }
  owner.editor.textarea.focus();
  if (!navigator.connection?.saveData) start().catch(() => {}); // whoever runs hears of a failure
};

const changed = (owner) => {
  const isBuilt = codeOf(owner) === built(owner);
  const name = owner.dataset.drill;
  if (name && !isBuilt) {
    clearTimeout(owner.saving);
    owner.saving = setTimeout(() => save(owner), 300);
  }
  button(owner, "reset").hidden = isBuilt && part(owner, "result").hidden !== false && !store.read(name);
};

const save = (owner, state) => {
  clearTimeout(owner.saving);
  const name = owner.dataset.drill;
  const before = store.read(name)?.state ?? "tried";
  store.write(name, { code: codeOf(owner), state: state ?? before });
};
addEventListener("pagehide", () => {
  for (const drill of drills) if (drill.editor && codeOf(drill) !== built(drill)) save(drill);
});

// --- results ------------------------------------------------------------------------------------

const output = (owner) => part(owner, "cell_output");
const clear = (owner) => {
  const result = part(owner, "result");
  result.replaceChildren();
  result.hidden = false;
  if (output(owner)) output(owner).hidden = true;
  owner.editor?.markLine(null);
  return result;
};
const text = (className, content) => make("pre", { className, tabIndex: 0 }, content);

const append = (result, stream, content) => {
  const last = result.lastElementChild;
  if (last?.className === `run-${stream}`) last.append(content);
  else result.append(text(`run-${stream}`, content));
};

const showError = (owner, result, { text: words, line }) => {
  result.append(text("run-error", words));
  if (line) owner.editor?.markLine(line);
};

/** Say in the result what ended a job from outside. */
const showEnd = (owner, error) => {
  const ended = error instanceof Ended ? error : new Ended("error", String(error?.message ?? error));
  setState(owner, ended.state);
  const words = make("p", { className: "run-ended" }, ended.message);
  if (ended.state === "error") {
    const again = make("button", { type: "button" }, "Retry");
    again.dataset.action = owner.dataset.drill ? "grade" : "run";
    words.append(" ", again);
  }
  part(owner, "result").append(words);
  note(owner, nameOf(owner));
  spoken.textContent = `${nameOf(owner)}: ${ended.message}`;
};

// --- running ------------------------------------------------------------------------------------

let turn = Promise.resolve(); // jobs run one after another
let era = 0; // a stop ends it, and all that waits in it

const inTurn = (work) => {
  const mine = era;
  turn = turn.then(() => (mine === era ? work(mine) : undefined)).catch(console.error);
  return turn;
};

const waitFor = async (owner) => {
  if (life?.isReady) return;
  setState(owner, "loading");
  listener = (words) => note(owner, words);
  listener("Loading Python");
  await start();
  life.isReady = true;
  listener = () => {};
};

const runOne = async (cell, isAsked) => {
  const result = clear(cell);
  button(cell, "reset").hidden = false;
  const source = codeOf(cell);
  try {
    await waitFor(cell);
    setState(cell, "running");
    note(cell, "Running");
    const job = { kind: "run", number: NUMBER_OF.get(cell), code: source };
    const done = await ask(job, CELL_SECONDS, (stream, words) => append(result, stream, words));
    const { value, error } = JSON.parse(done.result);
    if (value !== null) result.append(text("run-value", value));
    if (error) showError(cell, result, error);
    if (isAsked && !result.childElementCount) result.append(make("p", { className: "run-note" }, "No output."));
    cell.ran = error ? undefined : source;
    setState(cell, error ? "error" : "passed");
    note(cell, error ? `Cell ${cell.dataset.cell} failed` : `Cell ${cell.dataset.cell} ran in ${Math.round(done.milliseconds)} ms`, true);
    offerRestart(result, done.memory);
    return !error;
  } catch (error) {
    showEnd(cell, error);
    return false;
  }
};

/** WebAssembly's memory never shrinks. */
const offerRestart = (result, memory) => {
  if (memory < HEAVY) return;
  const restart = make("button", { type: "button" }, "Restart it");
  restart.onclick = () => {
    end(new Ended("stopped", "Python was restarted."));
    restart.parentElement.replaceChildren("Python was restarted: cells will run again.");
  };
  result.append(make("p", { className: "run-note" }, `Python holds ${Math.round(memory / MEGABYTE)} MB of memory. `, restart));
};

/** Run a cell, and first those before it that did not run as they are now. */
const run = (cell) =>
  inTurn(async (mine) => {
    for (const each of runnable.slice(0, runnable.indexOf(cell) + 1)) {
      if (each !== cell && each.ran === codeOf(each)) continue;
      const ok = await runOne(each, each === cell);
      if (ok && mine === era) continue;
      if (each !== cell && each.dataset.state === "error")
        note(cell, `Cell ${cell.dataset.cell} did not run: cell ${each.dataset.cell} failed.`, true);
      return;
    }
  });

const showReport = (drill, result, report) => {
  result.append(make("p", { className: "run-summary" }, report.summary));
  const paragraph = (title, words) => result.append(make("p", {}, make("strong", {}, title), ` ${words}`));
  if (report.mistake) paragraph("Likely mistake:", report.mistake);
  if (report.reason) paragraph("The smallest failing case:", report.reason);
  if (report.case) result.append(text("run-case", report.case));
  if (report.speed) result.append(make("p", {}, report.speed));
  if (report.passed) showFollowUp(drill);
};

const grade = (drill) =>
  inTurn(async () => {
    const name = drill.dataset.drill;
    const result = clear(drill);
    try {
      await waitFor(drill);
      setState(drill, "running");
      note(drill, "Grading");
      const answers = FILES.answers[name] && at(FILES.answers[name]);
      const job = { kind: "grade", name, code: codeOf(drill), grader: FILES.grader, answers };
      const done = await ask(job, GRADE_SECONDS);
      const { report, error } = JSON.parse(done.result);
      if (error) showError(drill, result, error);
      else showReport(drill, result, report);
      const state = error ? "error" : report.passed ? "passed" : "failed";
      setState(drill, state);
      if (!report?.nothing_returned) save(drill, report?.passed ? "solved" : undefined);
      button(drill, "reset").hidden = false;
      note(drill, store.works ? nameOf(drill) : "This browser keeps nothing: the code is gone with the page.");
      spoken.textContent = `${nameOf(drill)}: ${error ? "an error" : report.summary}`;
      offerRestart(result, done.memory);
    } catch (error) {
      showEnd(drill, error);
    }
  });

const stop = () => {
  era += 1;
  end(new Ended("stopped", `Stopped. ${KEPT}`));
  for (const owner of [...runnable, ...drills])
    if (["loading", "running"].includes(owner.dataset.state)) setState(owner, "stopped");
  start().catch(() => {}); // ready again before it is asked
};

const reset = (owner) => {
  if (owner.dataset.state === "running") stop();
  if (owner.dataset.drill) {
    clearTimeout(owner.saving);
    store.remove(owner.dataset.drill);
  }
  if (owner.editor) owner.editor.setValue(built(owner));
  else block(owner).querySelector("pre").textContent = built(owner);
  clearTimeout(owner.saving);
  clear(owner).hidden = true;
  if (output(owner)) output(owner).hidden = false;
  owner.ran = undefined;
  button(owner, "reset").hidden = true;
  setState(owner, "idle");
  note(owner, nameOf(owner));
};

const act = (owner, action) => {
  const done = { run, edit, grade, stop, reset }[action]?.(owner);
  done?.catch?.((error) => showEnd(owner, error));
};
window.pagepython.act = act;
