// Tables: filter for the long ones, sort by every column, and a frame that a keyboard can scroll.
(() => {
  const chinese = document.documentElement.lang.startsWith("zh");
  const words = chinese
    ? { filter: "筛选", shown: (n, all) => `${all} 行中的 ${n} 行`, table: "表格" }
    : { filter: "Filter", shown: (n, all) => `${n} of ${all} rows`, table: "table" };
  // "1.04 / 0.98" and "7 of 7 passed" sort by their first number, "-" comes last
  const value = (cell) => {
    const text = cell.textContent.trim();
    const found = /^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i.exec(text);
    return found ? Number(found[0]) : text;
  };
  const compare = (a, b) => {
    if (a === "-" || a === "") return b === "-" || b === "" ? 0 : 1;
    if (b === "-" || b === "") return -1;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), document.documentElement.lang, { numeric: true });
  };
  const sortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...original].sort((x, y) => compare(value(x.cells[column]), value(y.cells[column])) * (up ? 1 : -1));
        body.append(...rows);
      });
    });
  };
  const filterable = (table, frame) => {
    const rows = [...table.tBodies[0].rows];
    const tools = document.createElement("div");
    tools.className = "table-tools";
    const label = document.createElement("label");
    label.textContent = words.filter + " ";
    const input = document.createElement("input");
    input.type = "search";
    label.append(input);
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    tools.append(label, count);
    frame.before(tools);
    const show = () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.shown(shown, rows.length);
    };
    input.addEventListener("input", show);
    show();
  };
  document.querySelectorAll(".md-typeset table").forEach((table, number) => {
    if (!table.tHead || !table.tBodies.length || table.closest(".highlighttable")) return;
    // Markdown has no table without a head: a head that says nothing is none
    table.tHead.querySelectorAll("th").forEach((head) => {
      if (head.textContent.trim()) return;
      head.replaceWith(Object.assign(document.createElement("td"), { className: head.className }));
    });
    let frame = table.closest(".md-typeset__table") || table;
    const outer = frame.closest(".md-typeset__scrollwrap") || frame;
    outer.setAttribute("role", "region");
    outer.setAttribute("aria-label", `${words.table} ${number + 1}`);
    outer.tabIndex = 0;
    if (table.tBodies[0].rows.length > 2) sortable(table);
    if (table.tBodies[0].rows.length > 9) filterable(table, outer);
  });
  // the theme's search is a dialog without a name
  document.querySelectorAll("[role=dialog]:not([aria-label])").forEach((box) => { box.setAttribute("aria-label", chinese ? "搜索" : "Search"); });
  document.querySelectorAll(".md-typeset pre > code").forEach((code) => { code.tabIndex = 0; });
})();
