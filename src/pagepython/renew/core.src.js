// The bundle's entry: Pyodide's loader with the module that it would import at run time.
import createPyodideModule from "pyodide/pyodide.asm.mjs";
import { loadPyodide as load } from "pyodide/pyodide.mjs";

export const loadPyodide = (options) => load({ createPyodideModule, ...options });
