# SPDX-License-Identifier: MIT
# gnuplot -e "data='heatmap.csv'; out='heatmap.svg'" heatmap.gp
# Block 0: position, pruning. Block 1: position, format. Block 2: format, pruning, speed, perplexity, cell.
if (!exists("height")) height = 520
if (!exists("quality")) quality = 1
load ARG0[:strlen(ARG0) - strlen("heatmap.gp")] . "style.gp"
stats data index 0 using 1 name "row" nooutput
stats data index 1 using 1 name "column" nooutput
stats data index 2 using 3 name "s" nooutput
if (quality) stats data index 2 using 4 name "q" nooutput
unset grid
unset colorbox
unset key
set border 0
set tmargin 1.6
set bmargin 2.2
set tics scale 0
set lmargin 13
set xrange [-0.5:column_max + 0.5]
set yrange [row_max + 0.5:-0.5]
if (column_max > 5) set xtics rotate by -35
set palette defined (0 "#f2f6fa", 0.25 "#c3d8ea", 0.5 "#7fb0d3", 0.75 "#2f7db5", 1 "#0b3c68")
set style fill solid 1.0
share(v, low, high) = high > low ? log(v / low) / log(high / low) : 0.5
text(v, low, high) = share(v, low, high) > 0.6 ? 0xfefefe : 0x101010
number(v) = v >= 99.5 ? sprintf("%.0f", v) : sprintf("%.3g", v)
set cbrange [0:1]
if (quality) set multiplot layout 2,1
set title speed textcolor rgb ink offset 0,-0.5
plot data index 0 using (-1):1:yticlabels(2) notitle, data index 1 using 1:(-1):xticlabels(2) notitle, \
     data index 2 using 1:2:($1 - 0.48):($1 + 0.48):($2 - 0.46):($2 + 0.46):(share($3, s_min, s_max)) with boxxyerror linecolor palette notitle, \
     data index 2 using 1:2:(number($3)):(text($3, s_min, s_max)) with labels textcolor rgb variable notitle, \
     data index 2 using 1:2:(cell($5)) with labels hypertext point pointtype 5 pointsize 4 linecolor rgb "#ffffffff" notitle
if (quality) {
    set title "perplexity"
    set palette defined (0 "#fdf5ee", 0.25 "#f8d5b5", 0.5 "#ee9f63", 0.75 "#cf5f12", 1 "#6e2f00")
    plot data index 0 using (-1):1:yticlabels(2) notitle, data index 1 using 1:(-1):xticlabels(2) notitle, \
         data index 2 using 1:2:($1 - 0.48):($1 + 0.48):($2 - 0.46):($2 + 0.46):(share($4, q_min, q_max)) with boxxyerror linecolor palette notitle, \
         data index 2 using 1:2:(number($4)):(text($4, q_min, q_max)) with labels textcolor rgb variable notitle, \
         data index 2 using 1:2:(cell($5)) with labels hypertext point pointtype 5 pointsize 4 linecolor rgb "#ffffffff" notitle
    unset multiplot
}
