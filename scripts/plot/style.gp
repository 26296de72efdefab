# SPDX-License-Identifier: MIT
# What all plots share. A script sets `data` (a file) and `out` (a file whose ending chooses the form: .svg .png .pdf); it may set
# width and height in points. The colours are Okabe and Ito's, told apart with any colour vision; shapes and dashes differ too.
if (!exists("width")) width = 560
if (!exists("height")) height = 400
form = out[strlen(out) - 2:]
if (form eq "svg") set terminal svg size width,height font "sans-serif,13" noenhanced dynamic linewidth 1.2
if (form eq "png") set terminal pngcairo size 2 * width,2 * height font "sans-serif,9.8" noenhanced fontscale 2 linewidth 2.4 pointscale 2 background "#ffffff"
if (form eq "pdf") set terminal pdfcairo size width / 100.0,height / 100.0 font "sans-serif,9.4" noenhanced linewidth 1.2 pointscale 0.6
set output out
set encoding utf8
set datafile separator comma
set datafile missing "NaN"

ink = "#333333"
axis_ink = "#555555"
grid_ink = "#dddddd"
accent = "#666666"
color(i) = word("#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #8c6d31 #7f7f7f", (i % 8) + 1)
shape(i) = 0 + word("7 5 9 13 11 15 6 4", (i % 8) + 1)
dash(i) = 0 + word("1 2 4 5 3 6 1 2", (i % 8) + 1)
blocks = 0
stats data using 0 nooutput
blocks = STATS_blocks

set border 3 linecolor rgb axis_ink
set tics nomirror textcolor rgb ink
set grid ytics linetype 1 linecolor rgb grid_ink linewidth 0.6
set key above left Left reverse samplen 2.2 spacing 1.1 width 0 textcolor rgb ink maxrows 2
set xlabel textcolor rgb ink
set ylabel textcolor rgb ink
set errorbars 0.6
set tics scale 0.6
set lmargin 11
set pointintervalbox 0.001
set rmargin 2
if (!exists("speed")) speed = "decode, tokens/s"
cell(i) = sprintf("cell%d", i)
# Ticks at 1, 2 and 5 of each decade of a logarithmic axis where decades alone would be too few.
fine = "set for [e = -6:12] ytics add (10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e)"
ytics_log(low, high) = low > 0 && high / low < 300 ? fine : "set ytics 10"
# Perplexity's axis: straight while it changes little, logarithmic when it explodes.
perplexity_axis(low, high) = low > 0 && high / low > 3 ? \
    "set logscale y; set format y '%.0s%c'; set ylabel 'perplexity (log scale)';" . ytics_log(low, high) : \
    "set ylabel 'perplexity'"
