// The editor of a page's cells: prism-code-editor with Python, brackets, indentation and undo.
// Tab indents; Escape and then Tab leaves; Ctrl-M lets Tab go through. Shift-Enter and
// Ctrl-Enter are left to the page, which may run the code then.
import { createEditor } from "prism-code-editor";
import { defaultKeymap, editHistory, editorCommands } from "prism-code-editor/commands";
import { highlightBracketPairs } from "prism-code-editor/highlight-brackets";
import "prism-code-editor/languages/python";
import { matchBrackets } from "prism-code-editor/match-brackets";
import "prism-code-editor/prism/languages/python";

const { "8+Enter": _shiftEnter, "Mod+Enter": _modEnter, ...keymap } = defaultKeymap;
const PAIRS = ['""', "''", "()", "[]", "{}"];

function create(container, { code = "", label = "", onUpdate } = {}) {
  const editor = createEditor(
    container,
    { language: "python", lineNumbers: false, tabSize: 4, value: code },
    matchBrackets(false),
    highlightBracketPairs(),
    editorCommands(keymap, PAIRS),
    editHistory(),
  );
  const { textarea } = editor;
  textarea.setAttribute("aria-label", label);
  let marked = null;

  function markLine(number) {
    marked?.classList.remove("error-line");
    marked = (number && editor.lines[number]) || null;
    marked?.classList.add("error-line");
    if (marked) textarea.setAttribute("aria-invalid", "true");
    else textarea.removeAttribute("aria-invalid");
  }

  let known = editor.value;
  editor.on("update", (value) => {
    if (value === known) return;
    known = value;
    markLine(null);
    onUpdate?.(value);
  });

  return {
    textarea,
    get value() {
      return editor.value;
    },
    setValue: (value) => editor.setOptions({ value }),
    markLine,
    remove: editor.remove,
  };
}

globalThis.pagepythonEditor = { create };
