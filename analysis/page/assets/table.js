// A table that is sorted by a click on a column's heading, or by the keyboard. Cells without a value stay at the end.

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim().replace(/^–$/, "");
  const leading = (text) => (/^[-+]?[\d.]/.test(text) ? Number.parseFloat(text.replaceAll(",", "")) : NaN);
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", class: "sort", click: () => sort(column) }, ...head.childNodes);
    head.replaceChildren(button);
  });

  function sort(column) {
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const rows = [...body.rows];
    const numeric = rows.every((row) => value(row, column) === "" || !Number.isNaN(leading(value(row, column))));
    const compare = (a, b) => (numeric ? leading(a) - leading(b) : a.localeCompare(b, undefined, { numeric: true }));
    rows.sort((x, y) => {
      const [a, b] = [value(x, column), value(y, column)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return descending ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  }
}
