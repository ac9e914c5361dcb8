/* Python in a worker. Stands behind pyodide.js, which brings loadPyodide. */

const post = (message) => self.postMessage(message);
const PAGE = 65536; // bytes of a page of WebAssembly's memory

/** Refuse memory above a limit: Python then raises a MemoryError, and the browser's tab lives on. */
const limitMemory = (limit) => {
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = function (pages) {
    if (this.buffer.byteLength + pages * PAGE > limit) throw new RangeError("over the limit");
    return grow.call(this, pages);
  };
};

const plainFetch = self.fetch.bind(self);

/** Fetch one of our files, whole and undamaged, if possible from the browser's own cache. */
const fetched = async ({ name, url, integrity }) => {
  for (const cache of ["force-cache", "reload"]) {
    try {
      return await plainFetch(url, { cache, integrity }); // an answer such as 404 fails, too
    } catch {
      continue;
    }
  }
  throw new Error(await fault(name, url));
};

/** Say what is wrong with a file that the browser refuses: it does not tell a script. */
const fault = async (name, url) => {
  try {
    const { ok, status } = await plainFetch(url, { cache: "reload" });
    return ok
      ? `${name} is damaged: it is not the file that the page expects.`
      : `${name} is missing (the server answered ${status}).`;
  } catch {
    return `${name} cannot be reached: is the network there?`;
  }
};

/** Give Pyodide our fetch: of itself it waits for ever on some missing files. */
const watchFetch = (files, failed) => {
  self.fetch = async (input, options) => {
    const address = String(input.url ?? input);
    const file = files.find(({ url }) => url === address);
    if (!file) return plainFetch(input, options);
    try {
      const response = await fetched(file);
      post({ kind: "part", bytes: file.bytes });
      return response;
    } catch (error) {
      failed(error);
      throw error;
    }
  };
};

let python, session, places;

const boot = async ({ files, index, modules, elsewhere, limit }) => {
  limitMemory(limit);
  await new Promise((resolve, reject) => {
    watchFetch(files, reject);
    const options = { indexURL: index, packages: ["numpy"], stdout() {}, stderr() {} };
    loadPyodide(options).then((made) => resolve((python = made)), reject);
  });
  if (!python.loadedPackages.numpy) throw new Error("NumPy could not be loaded: its file is damaged.");
  places = python.runPython("import site; site.getsitepackages()[0]");
  const archive = await (await fetched(modules)).arrayBuffer();
  python.unpackArchive(archive, "zip", { extractDir: places });
  python.runPython("import importlib; importlib.invalidate_caches(); import numpy.random");
  const others = python.toPy(new Map(elsewhere));
  session = python.pyimport("pagepython.runner").Session(emit, others);
};

let id = 0; // of the job that runs
const emit = (stream, text) => post({ kind: "output", id, stream, text });

const work = async (job) => {
  if (job.kind === "run") return session.run(job.number, job.code);
  if (job.answers) {
    const text = await (await fetched(job.answers)).text();
    const place = `${places}/${job.answers.place}`;
    python.FS.mkdirTree(place.slice(0, place.lastIndexOf("/")));
    python.FS.writeFile(place, text);
  }
  return session.grade(job.name, job.code, job.grader);
};

self.onmessage = async ({ data }) => {
  try {
    if (data.kind === "boot") {
      await boot(data);
      post({ kind: "ready" });
      return;
    }
    ({ id } = data);
    const begun = performance.now();
    const result = await work(data);
    const milliseconds = performance.now() - begun;
    const memory = python._module.HEAP8.length;
    post({ kind: "done", id, result, milliseconds, memory });
  } catch (error) {
    post({ kind: "failed", text: error?.message || "Python stopped without giving a reason." });
  }
};
