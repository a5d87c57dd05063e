"""Weights of the rhythm screening, and what they were made of. Written by `tools.train.rhythm`: do not edit.

Purpose: screening for atrial fibrillation from RR intervals; not a diagnosis.
Data: 13 of afdb, 24 of mitdb, 11 of nsr2db
(MIT-BIH AF Database, MIT-BIH Arrhythmia Database, Normal Sinus Rhythm RR Interval Database; PhysioNet, ODC-By 1.0).
Positive: AFIB. Negative: everything else, flutter and junctional rhythm included.
Training: logistic regression, ridge 0.08, seed 1; disturbed copies as `tools.train.rhythm` describes.
Figures are %, pooled per beat, at the thresholds below and (in brackets) along the curve.
On records left out, 5 folds of whole records:
afdb fast: Se 96.55 Sp 97.53 (Sp at Se 95: 97.83, 96: 97.66, 96.5: 97.55, 97: 97.37)
afdb onset: Se 97.84 Sp 96.82 (Sp at Se 95: 97.83, 96: 97.66, 96.5: 97.55, 97: 97.37)
afdb sure: Se 96.67 Sp 98.38 (Sp at Se 95: 98.72, 96: 98.57, 96.5: 98.43, 97: 98.24)
mitdb fast: Se 93.86 Sp 92.64 (Sp at Se 95: 90.61, 96: 88.96, 96.5: 87.27, 97: 83.95)
mitdb onset: Se 95.15 Sp 90.25 (Sp at Se 95: 90.61, 96: 88.96, 96.5: 87.27, 97: 83.95)
mitdb sure: Se 95.57 Sp 93.57 (Sp at Se 95: 94.27, 96: 92.43, 96.5: 88.77, 97: 88.51)
nsr2db fast: Sp 99.99
nsr2db onset: Sp 99.95
nsr2db sure: Sp 99.99
fast: 24 onsets seen after 20 beats (median; p90 27)
onset: 24 onsets seen after 17 beats (median; p90 22)
false runs of 2 min or more: 0.000 a day (0 in 10.8 days)
With 3 % merged, 1 % split, 5 % lost:
afdb fast: Se 97.95 Sp 96.38 (Sp at Se 95: 97.71, 96: 97.50, 96.5: 97.35, 97: 97.13)
afdb onset: Se 98.59 Sp 94.78 (Sp at Se 95: 97.71, 96: 97.50, 96.5: 97.35, 97: 97.13)
afdb sure: Se 97.83 Sp 97.49 (Sp at Se 95: 98.62, 96: 98.40, 96.5: 98.25, 97: 98.06)
mitdb fast: Se 94.51 Sp 87.61 (Sp at Se 95: 86.78, 96: 83.73, 96.5: 82.02, 97: 78.93)
mitdb onset: Se 96.21 Sp 82.78 (Sp at Se 95: 86.78, 96: 83.73, 96.5: 82.02, 97: 78.93)
mitdb sure: Se 96.04 Sp 89.00 (Sp at Se 95: 92.08, 96: 89.43, 96.5: 86.04, 97: 84.48)
nsr2db fast: Sp 99.87
nsr2db onset: Sp 99.52
nsr2db sure: Sp 99.90
fast: 24 onsets seen after 16 beats (median; p90 23)
onset: 24 onsets seen after 11 beats (median; p90 21)
false runs of 2 min or more: 0.195 a day (2 in 10.3 days)
On the records learned from:
afdb fast: Se 97.39 Sp 97.58 (Sp at Se 95: 98.26, 96: 98.07, 96.5: 97.92, 97: 97.76)
afdb onset: Se 98.19 Sp 96.93 (Sp at Se 95: 98.26, 96: 98.07, 96.5: 97.92, 97: 97.76)
afdb sure: Se 97.46 Sp 98.42 (Sp at Se 95: 98.93, 96: 98.78, 96.5: 98.69, 97: 98.58)
mitdb fast: Se 95.25 Sp 93.27 (Sp at Se 95: 93.54, 96: 92.01, 96.5: 91.12, 97: 89.86)
mitdb onset: Se 96.44 Sp 91.13 (Sp at Se 95: 93.54, 96: 92.01, 96.5: 91.12, 97: 89.86)
mitdb sure: Se 96.05 Sp 93.94 (Sp at Se 95: 95.46, 96: 94.17, 96.5: 93.26, 97: 92.83)
nsr2db fast: Sp 99.99
nsr2db onset: Sp 99.97
nsr2db sure: Sp 99.99
fast: 24 onsets seen after 20 beats (median; p90 27)
onset: 24 onsets seen after 17 beats (median; p90 22)
false runs of 2 min or more: 0.000 a day (0 in 10.8 days)
With 3 % merged, 1 % split, 5 % lost:
afdb fast: Se 98.22 Sp 96.51 (Sp at Se 95: 98.17, 96: 97.96, 96.5: 97.82, 97: 97.61)
afdb onset: Se 98.73 Sp 95.02 (Sp at Se 95: 98.17, 96: 97.96, 96.5: 97.82, 97: 97.61)
afdb sure: Se 98.28 Sp 97.63 (Sp at Se 95: 98.91, 96: 98.77, 96.5: 98.67, 97: 98.53)
mitdb fast: Se 96.40 Sp 89.00 (Sp at Se 95: 91.93, 96: 90.67, 96.5: 88.67, 97: 87.09)
mitdb onset: Se 97.58 Sp 84.68 (Sp at Se 95: 91.93, 96: 90.67, 96.5: 88.67, 97: 87.09)
mitdb sure: Se 97.89 Sp 90.87 (Sp at Se 95: 94.60, 96: 93.42, 96.5: 92.88, 97: 92.11)
nsr2db fast: Sp 99.93
nsr2db onset: Sp 99.69
nsr2db sure: Sp 99.95
fast: 23 onsets seen after 15 beats (median; p90 25)
onset: 23 onsets seen after 13 beats (median; p90 20)
false runs of 2 min or more: 0.000 a day (0 in 10.3 days)
Statistics, windows, ridge and thresholds were chosen with the folds in view: their figures are a little optimistic.
Ectopy amid lively sinus rhythm is still taken for AF in part (MITDB 228, left out: a tenth); flutter is (203, 222).
Weak where it has seen little: slow regularised AF (paced, or under strong rate control), flutter with changing
conduction, chaotic atrial rhythm; wandering pacemakers and strong sinus arrhythmia can look like AF.
"""

# At and above, a beat counts as AF: at once, for a first alarm at an onset, and 63 beats later.
FAST_THRESHOLD = 0.35
ONSET_THRESHOLD = 0.25
SURE_THRESHOLD = 0.34
# Single-precision numbers, little endian, base 85: `dsp.cardiac.rhythm.Weights`, one after the other.
FLOAT32 = (
    "a>u4U#=;Lim9;!RT<*L*E1==NeA*#DgjJe87!k9(Zyt|5j&|rh8g?PRQ~bj{bxuz{W=r_IENUaZ&Y6ilenwh8Ux_R}-b{=>muNsf"
    "A|(*MzMB5MPv_`8$p`_xQ12GKKCe4ISH6_HY}rV?Mb^T-Z#fLUyshWGjVrZ1@KY2%kZ3hN54e0iuu%`caFIqo-=xMq2tS9s3V5VF"
    "`RM08Jlc4^B+LOm4HbMoazJ{$U5AFgA&sLw!}4`LCwDPETH>BQ){9a;I0HbwD324qV3!U)KWYcPoM0%uIq+gWW8hS}-E>;LIJv65"
    ";|CDFUv~7p){8zqE30Zgp6G-=^oI;SQl1FER3?u<0e~An@uqV<hP6gMfb)YsabOC*UIcwUoZ!zskuaS+8^SfdqI@qt4s^dhtNElp"
    ">8Ra4hqALiX9_32hQY+W7S;MaC6;2ncEEGJ^G8uWJU!36du^P(ZpYlcxd11=FI*13&Y=szzO8gUELYt<D?1oIN}kR=vvP#KnpV|5"
    "mfJTzu!^fZ7_*Q)LL=EdS_-kf!WM%)uj?2-i<2z8Cg#+=RuNe}AmbrE6erj{%YQyTD02cnc#7J+ZBVqmvptYKK6H(|*D$fXY!K%?"
    "eZaH2ASwgBwIG<ixIVtUA2*`C#o0VPn$^cWHj)QE&>NRMYg(+n+9B;eGrC4ToU431@!OL<=gZ4IkzW+PO0;o3ysjKRt#vBBGkP(;"
    "G*S{hc0n9I)2gsN79c%7bV2Stl0PE80l)0Mdl0id(1>8Xz8j#t1ZxUDeJqqaY4Q5Jk2;6Fs{gvZ@3o=5vykpQ_}{oa$<YKpW*m(@"
    "XvMz1>qrbgjPPkbAJ%8Q>KtZ0Pe8ssS!O`KsP9reHijlXqz{6<obXM)J>Z}`Bex<x-E+J>&xS)j3}^s8H_%YN$~_If;pM|U?2Jvk"
    "YX_FR5Oxzjk-x1w2FL)t8kT{*cZ9mV1(l(_J~GF<Tj7m8|LyNRwv}%^aP`i<OSl|A=kS0&U%Mu~22?dYuK~F|ow8xRNLK+p;7B7r"
    "b>+If)V6ZIGg&;m1;!XY3y!BfoftVj&@1&l<v)qO3pg~sQbpW7_@)lLFDPTY2izb&Wc~;|b`0~pxdURoX4SO4|0bKgm;MjEP+MU="
    "LO$y~$U%oa5h2dLAZj!}DNvR^vZgY<B{^q3561aD2L(#LCKnPtNpL(qO4Pl*KP7IyxPtz?j1eF{OB=vFYic?^pRNBr2q2!mY7t1j"
    "rV8UdPUQf+(tJ0(e`O;+vt#u;#<cak|D9sJJiWHPY3`Z5dk6l!xbtB>>1p{rm^q?7%OJ$QPa;u2NcFWoGc|p^s{v;{Im{J4y`dz&"
    ")HPr|rOjnNd4#XM%^_00dDIuZ|4c7Fw;%XDPZvi%he{bfTXCemU;9bE56{~@5iBIUYDX%(7MLDB92{UfRFVe080UMvT1LLTD0rN`"
    "VhkR<<amWW2rCFa%DBKi3c|d;3x#DrcT>+k&k;|(k4c(6aEUrTdWF`#*($U>0D_D@d>>f7aWfdcL!q_2k)KjNo+dCpGCpWNw)IUu"
    "hNGgs_&q(oE#bXA)RB<9zKdnNGBFH38fM<R($*ursUDrZbG*;Jk#eWKY@7hW<3$BLFG)x}cU7T1ZpS%20EUUah&Z1<UPA#sUH3ga"
    "7!e~qC);>Ew@C=Tuzs#QV|%_m)#G!$qyI3z)-FOj8~wmN;AIj$xf=gH53GnigRm98QhxKj7(JIgrT^Bua4tB!_eS46)6UR47Gu7="
    "-wZLmFW8E`r2lli7at)#ADM7H2EL^|*;gJtcSMrDU$L@2=WZH4gc#X8@BJq|O4>+00<bB*yf||`53uSz0bM@5^mj47JNW}Wl^^9j"
    "o3=YW3n>;pRMWgY#Yok?^RLalv+R&PiMB($xTA)=+%4xlcStBZ5*^*VUq?s1sLz(YJv4>A`RdEN>(VMcrrex8rF<wo&Xt(HS%ttp"
    "-k2Fa&xgOfDD-$duiHC4LU}d5wxJ?CGK#`IA6>4!h{##Ku!w`aPcFSZUC{eHOYr+WA4-8eSf)F^I(HAgLXWRKDWZV82#ONC=8OD2"
    ">tr81PZ71e`v@Jqd?AUw1o&~iC9g_7@rsc><4MLnC)-#(;Wd}O@8#n@t|vl1#S=3<fYN|HULBu3X!akzXatr$Q)dr8q0Cji+HOg{"
    "jkpp$#)SSo;o@sOOT;8TS*+JR2LubgZCC5PKg6Cr-<w{%zz~wWj$i;jgGB#2W?ApN6kbWaQDL6FeK?D~^ZxU^N;Kv?RXUJ8f_NG|"
    "`E{bcSXJXbi4!wER^2AOsrDf}uf0w^Q9(z(*L|S7Af~}RzS!%%1>}RiQ6VwC?Gvg!gzS|(|Do$WqAO!P->Y)IU<NV1&Y{dbGh7w9"
    "e9@=728a+o6$N2D)GemGNmuo}x@v{J3;k)m2EBDX7Tl*j6guQRFdL6OlFyaCN2Cisr^tCe2E=$hqcF2QzXt3*Y(M|K?_01v>Ch`a"
    "1wTx^<G)zGw3iV*=QRvInk$JtiAFF!V*%bhFn=k&2TKONOaHJvIFn?&|K*gtPu~tcuSIP;4kq-xWA{6~OE{suDvgc3h{Z8Ip<9MM"
    "#UHvol#N$CjG&0VSXrh%*A)yt(ii+Z=x<0p>xzXvH{1=rrVT$mYslX{ik>#TD<vboj{pEYlau8=<aJp+33wGghvdFJ4XWb3M5@uf"
    "521`bKBhgq+$V&*MFiSCi<s>?3vb@M#6MEK$Bvf0pCX05j4m%d4Z?^$A?Lh3dK^hTh_ao&xZ>76$Qd&}nKKVPzcyt(9gCJdCC)Cs"
    "LWpfW-+lu=*EN2<gVIvI<u|`PCb;lD-ds#QvJxFW)33ihH-Q<xkr)2G%NM9USNt!$M)ZEXf-3?(-{+A#P4eKp^CU;TfX$k{>8psn"
    "%0n+b!o`j~2rbh+mF0jv60)AYmG22ZM$K(LxJf`gO)Hu`nP%NR^0gSg30ZeN*9aLtYATz(D0g<gCD9Z-tIGR5*1}OeC8;7lQk20x"
    "NRmvxP}v*4SMbL@m7p8EIh1C+2BH~0K`He+DeK_8?Z79!P)MA;L|}=%t)tOA?v#Q(Z%5ue;gP02FyW8B1Y;vV*W!^r@!ttOM);~d"
    "EG!Q`98TT6q<w`wW~VnkOt+Z5wKHA5wQ4cEiD?Nwvml&3F&!#CqG0VkG`(uRWAr1wJNw5y9W5ce(Z@c#chwg@edT;Ry8rXMHGVX`"
    "y{n<Uo4AU-<xnm?M{bKfjP~t4+K<CMx=@9_G+{kI(jT%uq0<{ZEaJyKEFd;M=*T<0%AU<V-_mqG`d}Kp6gd&T0{bevhfgp*Qtu2t"
    "l>1ITNE<djrGjq0zu_3Z@7|(4_`sIDpVn`@E{Fg=l{F2#9yS}jfOmksI32dVs7sc;feRGD"
)
