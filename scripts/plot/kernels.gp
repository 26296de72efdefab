# SPDX-License-Identifier: MIT
# gnuplot -e "data='kernels.csv'; out='kernels.svg'" kernels.gp
# Block 0: position, kernel. Blocks 1, 2 (bound by reading, by arithmetic): share of the roof in %, lo, hi, position.
load ARG0[:strlen(ARG0) - strlen("kernels.gp")] . "style.gp"
stats data index 0 using 1 name "row" nooutput
stats data index 1:2 using 1 name "share" nooutput
set lmargin 31
set yrange [row_max + 0.6:-0.6]
set xrange [0:(share_max > 125 ? 125 : share_max > 100 ? share_max * 1.02 : 103)]
set grid noytics xtics
set style fill solid 1.0 noborder
set ytics font ",11"
set xlabel "share of the roof, %"
bar = 0.4
plot data index 0 using (0):1:yticlabels(2) with points pointtype 0 notitle, \
     100 with lines linecolor rgb accent notitle, \
     for [i = 1:2] data index i using 1:4:(0):1:($4 + (i - 2) * bar):($4 + (i - 1) * bar) with boxxyerror linecolor rgb color(i - 1) title columnheader(1), \
     for [i = 1:2] data index i using 1:($4 + (i - 1.5) * bar):2:3 with xerrorbars linecolor rgb ink linewidth 0.5 pointtype 0 notitle
