/* What a page with code to run needs before its reader touches any of it: buttons, and what is
   kept of drills. All else is loaded on the first click. The build puts the settings, SETTINGS,
   before this text. */

const script = document.currentScript;
const home = new URL(".", script.src);

// --- what the browser keeps of the drills -----------------------------------------------------

const KEY = `pagepython:${new URL("../..", home).pathname}`; // other books may share the host
let forgotten = null; // in place of the storage where that is forbidden
const all = () => {
  if (forgotten) return { ...forgotten };
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
};
const keep = (drills) => {
  try {
    if (!forgotten) localStorage.setItem(KEY, JSON.stringify(drills));
  } catch {
    forgotten = {};
  }
  if (forgotten) forgotten = drills;
  dispatchEvent(new Event("pagepython:stored"));
};
const store = {
  get works() {
    return !forgotten;
  },
  all,
  read: (name) => all()[name] ?? null,
  write: (name, entry) => store.merge({ [name]: entry }),
  remove: (name) => {
    const { [name]: gone, ...rest } = all();
    keep(rest);
  },
  merge: (drills) => keep({ ...all(), ...drills }),
};
try {
  localStorage.setItem(`${KEY}?`, "");
  localStorage.removeItem(`${KEY}?`);
} catch {
  forgotten = {};
}

// --- buttons ----------------------------------------------------------------------------------

const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** Put buttons behind some code, and a place for what comes of it behind `last`. */
const equip = (owner, code, last, name, actions) => {
  const buttons = actions.map(([action, text, hidden]) => {
    const button = make("button", { type: "button", hidden, ariaLabel: `${text} ${name}` }, text);
    button.dataset.action = action;
    return button;
  });
  const bar = make("div", { className: "run-bar" }, ...buttons, make("span", { className: "run-note" }, name));
  code.after(bar);
  (last === code ? bar : last).after(make("div", { className: "result" }));
  owner.dataset.state = "idle";
};

const STOP = ["stop", "Stop", true];
const RESET = ["reset", "Reset", true];
const cells = [...document.querySelectorAll("div.cell:has(.cell_input)")];
cells.forEach((cell, k) => (cell.dataset.cell = k + 1));
const drills = [...document.querySelectorAll(".drill[data-drill]:not([data-needs])")];

const launch = document.querySelector(SETTINGS.launch)?.href;
for (const cell of cells) {
  if (!cell.matches(".tag_torch")) continue;
  const note = make("p", { className: "run-note" }, `Cell ${cell.dataset.cell} needs PyTorch, which does not run in the page. `);
  if (launch) note.append(make("a", { href: launch }, "Open this page in Binder"), ".");
  cell.append(note);
}

/** Load the rest, once; try again after a failure. */
let session = null;
const load = () => {
  session ??= new Promise((resolve, reject) => {
    const rest = make("script", { src: new URL(SETTINGS.session, home), onload: resolve });
    rest.onerror = () => {
      session = null;
      reject();
    };
    document.head.append(rest);
  });
  return session;
};

const act = async (owner, action) => {
  try {
    await load();
  } catch {
    owner.querySelector(".run-note").textContent = "Not loaded: is the network there?";
    return;
  }
  pagepython.act(owner, action);
};

const showFollowUp = (drill) => drill.querySelector(".drill-follow-up")?.removeAttribute("hidden");

window.pagepython = { store, make, home, cells, drills, showFollowUp };

if (location.protocol === "file:") {
  const first = document.querySelector(".cell.tag_runnable, .drill");
  first?.before(make("p", { className: "run-note" }, SETTINGS.served));
  drills.forEach(showFollowUp);
} else {
  for (const cell of cells) {
    if (!cell.matches(".tag_runnable")) continue;
    cell.classList.add("runnable");
    const code = cell.querySelector(".cell_input");
    equip(cell, code, code.closest("details") ?? code, `cell ${cell.dataset.cell}`, [
      ["run", "Run"],
      ["edit", "Edit"],
      RESET,
      STOP,
    ]);
  }
  for (const drill of drills) {
    const code = drill.querySelector(".drill-code");
    const kept = store.read(drill.dataset.drill);
    equip(drill, code, code, drill.dataset.drill, [
      ["grade", "Grade"],
      ["edit", "Edit"],
      ["reset", "Reset", !kept],
      STOP,
    ]);
    const pre = code.querySelector("pre");
    drill.starter = pre.textContent.trimEnd();
    if (kept) {
      pre.textContent = kept.code;
      if (kept.state === "solved") showFollowUp(drill);
      drill.querySelector(".run-note").textContent = `${drill.dataset.drill}: ${kept.state}`;
    }
  }
  document.addEventListener("click", ({ target }) => {
    const owner = target.closest(".runnable, .drill[data-state]");
    const action = target.closest("[data-action]")?.dataset.action;
    if (owner && action) act(owner, action);
    // A click into the code opens the editor; one that ends a selection does not.
    else if (owner && target.closest("pre") && target.closest(".cell_input, .drill-code") && !String(getSelection()))
      act(owner, "edit");
  });
}
