// Compiles Python files in the page's own Python, as bytecode belongs to one version:
// node compile.mjs PYODIDE_FOLDER HOST_FOLDER JOBS_FILE
//
// JOBS_FILE is JSON: a list of source, target, the name that tracebacks show, and the level of
// optimization. Sources and targets begin with /host, which is HOST_FOLDER.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const COMPILE = `
import json
import py_compile

for source, target, name, level in json.loads(jobs):
    py_compile.compile(source, target, name, doraise=True, optimize=level,
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
`;

const [pyodideFolder, hostFolder, jobsFile] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${pyodideFolder}/pyodide.mjs`).href);
const pyodide = await loadPyodide();
pyodide.mountNodeFS("/host", hostFolder);
pyodide.globals.set("jobs", readFileSync(jobsFile, "utf8"));
pyodide.runPython(COMPILE);
