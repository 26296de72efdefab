'use strict';
(function () {
  const table = document.getElementById('table');
  const tip = document.getElementById('tip');

  // Points: the figures beside the pointer at once, instead of the browser's slow title.
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6)) + 'px';
    tip.style.top = (y + 18 + box.height > innerHeight ? Math.max(6, y - box.height - 10) : y + 18) + 'px';
  };
  document.querySelectorAll('figure svg a').forEach((link) => {
    const title = link.querySelector('title');
    if (!title) return;
    const figures = title.textContent;
    link.setAttribute('aria-label', figures);
    title.remove();
    const show = (x, y) => { tip.textContent = figures; tip.hidden = false; place(x, y); };
    link.addEventListener('mousemove', (event) => show(event.clientX, event.clientY));
    link.addEventListener('mouseleave', () => { tip.hidden = true; });
    link.addEventListener('focus', () => { const box = link.getBoundingClientRect(); show(box.right, box.bottom); });
    link.addEventListener('blur', () => { tip.hidden = true; });
  });
  if (!table) return;

  // Filters: a word search over the whole row, and one choice for every axis that varies.
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const form = document.getElementById('filters');
  const search = document.getElementById('search');
  const points = new Map();
  document.querySelectorAll('figure svg a[href]').forEach((link) => {
    const id = link.getAttribute('href').slice(1);
    if (!points.has(id)) points.set(id, []);
    points.get(id).push(link);
  });
  const choices = [];
  heads.forEach((head, column) => {
    if (!head.hasAttribute('data-axis')) return;
    const values = Array.from(new Set(rows.map((row) => row.cells[column].textContent)));
    if (values.length < 2 || values.length > 40) return;
    const label = document.createElement('label');
    const select = document.createElement('select');
    label.append(head.firstChild.textContent.trim() + ' ', select);
    [''].concat(values).forEach((value, i) => select.append(new Option(i ? value || '(none)' : 'all', i ? '=' + value : '')));
    document.getElementById('selects').append(label);
    choices.push({ select, column });
  });
  const texts = rows.map((row) => Array.from(row.cells, (cell) => cell.textContent).join(' ').toLowerCase() + ' ' + row.id);
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = words.every((word) => texts[i].includes(word)) &&
        choices.every(({ select, column }) => !select.value || '=' + row.cells[column].textContent === select.value);
      row.hidden = !fits;
      shown += fits;
      (points.get(row.id) || []).forEach((link) => link.classList.toggle('dim', !fits));
    });
    document.getElementById('shown').value = shown + ' of ' + rows.length + ' cells';
  };
  form.hidden = false;
  form.addEventListener('input', apply);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(apply));

  // Sorting by a click on a column's head; empty fields always last.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent || null;
  };
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      rows.map((row, i) => ({ row, i, k: key(row, column) })).sort((a, b) => {
        if (a.k === null || b.k === null) return (a.k === null) - (b.k === null) || a.i - b.i;
        const order = typeof a.k === 'number' && typeof b.k === 'number' ? a.k - b.k : String(a.k).localeCompare(String(b.k), 'en', { numeric: true });
        return (down ? -order : order) || a.i - b.i;
      }).forEach(({ row }) => body.append(row));
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', (event) => { if (event.key === 'Enter') sort(); });
  });

  // #q=words searches; #cell-… shows that row, whatever the filters hide.
  const follow = () => {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (hash.startsWith('q=')) {
      search.value = hash.slice(2);
    } else if (hash.startsWith('cell-')) {
      const row = document.getElementById(hash);
      rows.forEach((other) => other.classList.toggle('hit', other === row));
      if (row && row.hidden) {
        search.value = '';
        choices.forEach(({ select }) => { select.value = ''; });
      }
      if (row) setTimeout(() => row.scrollIntoView({ block: 'center' }));
    }
    apply();
  };
  addEventListener('hashchange', follow);
  follow();
})();
