// Tables whose cells change in place, so that what is selected stays selected. Every text is put in as text, never as markup:
// names, addresses and lines of the log are anybody's.

/**
 * Makes `table` one with these columns: each has a `title`, `cell(row)` for its content, and may have a `kind`: `n` for
 * numbers, `long` for what may be broken anywhere. Content is a string, or has a `text` and maybe a `mark` (see the style
 * sheet), a `note` and a `title`. The first column says what the row is about. Returns what shows rows: `few` of them until
 * somebody asks for more; `empty` is said where there are none.
 */
export function table(table, columns, few, empty) {
  const heads = columns.map((column) => {
    const head = element("th", column.kind);
    head.scope = "col";
    head.setAttribute("role", "columnheader");
    head.textContent = column.title;
    return head;
  });
  const caption = element("caption", "sr");
  caption.textContent = document.getElementById(table.getAttribute("aria-labelledby")).firstChild.textContent.trim();
  const thead = withRole("thead", "rowgroup");
  const line = withRole("tr", "row");
  line.append(...heads);
  thead.append(line);
  const body = withRole("tbody", "rowgroup");
  table.setAttribute("role", "table");
  table.classList.add("cards");
  table.replaceChildren(caption, thead, body);

  const nothing = element("p", "nothing");
  nothing.textContent = empty;
  const more = element("button", "quiet more");
  more.type = "button";
  more.setAttribute("aria-controls", table.id);
  let rows = [];
  let isOpen = false;
  more.addEventListener("click", () => {
    isOpen = !isOpen;
    show(rows);
  });
  table.after(nothing, more);

  function show(given) {
    rows = given;
    const shown = isOpen ? rows : rows.slice(0, few);
    while (body.rows.length > shown.length) body.deleteRow(-1);
    shown.forEach((row, index) => {
      const line = body.rows[index] ?? body.appendChild(newLine(columns));
      line.className = row.alarm ? "alarm" : "";
      columns.forEach((column, place) => put(line.cells[place], column.cell(row)));
    });
    table.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    more.hidden = rows.length <= few;
    more.textContent = isOpen ? "Show fewer" : `Show all ${rows.length}`;
    more.setAttribute("aria-expanded", String(isOpen));
  }
  return show;
}

function newLine(columns) {
  const line = withRole("tr", "row");
  columns.forEach((column, place) => {
    const cell = element(place === 0 ? "th" : "td", column.kind);
    if (place === 0) cell.scope = "row";
    cell.setAttribute("role", place === 0 ? "rowheader" : "cell");
    cell.dataset.title = column.title;
    line.append(cell);
  });
  return line;
}

function put(cell, content) {
  const { text, mark = "", note = "", title = "" } = typeof content === "string" ? { text: content } : content;
  const key = `${mark}\n${text}\n${note}`;
  if (cell.title !== title) cell.title = title;
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  const words = element("span", mark && `marked ${mark}`);
  words.textContent = text;
  cell.replaceChildren(words);
  if (note) {
    const small = element("small", "");
    small.textContent = note;
    cell.append(" ", small);
  }
}

/** Fills a table whose head is on the page, with plain cells. */

function element(name, kind) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  return made;
}

function withRole(name, role) {
  const made = document.createElement(name);
  made.setAttribute("role", role);
  return made;
}
