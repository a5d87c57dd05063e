"""Weights of the rhythm screening, and what they were made of. Written by `tools.train_rhythm`: do not edit.

Purpose: screening for atrial fibrillation from RR intervals; not a diagnosis.
Data: 13 of afdb, 24 of mitdb, 11 of nsr2db
(MIT-BIH AF Database, MIT-BIH Arrhythmia Database, Normal Sinus Rhythm RR Interval Database; PhysioNet, ODC-By 1.0).
Positive: AFIB. Negative: everything else, flutter and junctional rhythm included.
Training: logistic regression, ridge 0.08, seed 1; disturbed copies as `tools.train_rhythm` describes.
Figures are %, pooled per beat, at the thresholds below and (in brackets) along the curve.
On records left out, 5 folds of whole records:
afdb fast: Se 96.06 Sp 97.43 (Sp at Se 95: 97.63, 96: 97.44, 96.5: 97.31, 97: 97.11)
afdb onset: Se 97.67 Sp 96.62 (Sp at Se 95: 97.63, 96: 97.44, 96.5: 97.31, 97: 97.11)
afdb sure: Se 96.54 Sp 98.22 (Sp at Se 95: 98.63, 96: 98.39, 96.5: 98.24, 97: 98.06)
mitdb fast: Se 94.81 Sp 90.35 (Sp at Se 95: 89.74, 96: 86.75, 96.5: 83.58, 97: 78.79)
mitdb onset: Se 96.07 Sp 86.35 (Sp at Se 95: 89.74, 96: 86.75, 96.5: 83.58, 97: 78.79)
mitdb sure: Se 96.12 Sp 91.29 (Sp at Se 95: 93.85, 96: 91.92, 96.5: 89.37, 97: 86.89)
nsr2db fast: Sp 99.99
nsr2db onset: Sp 99.94
nsr2db sure: Sp 100.00
fast: 24 onsets seen after 18 beats (median; p90 29)
onset: 24 onsets seen after 15 beats (median; p90 22)
false runs of 2 min or more: 0.000 a day (0 in 10.8 days)
With 3 % merged, 1 % split, 5 % lost:
afdb fast: Se 97.67 Sp 96.36 (Sp at Se 95: 97.58, 96: 97.35, 96.5: 97.17, 97: 96.92)
afdb onset: Se 98.33 Sp 94.86 (Sp at Se 95: 97.58, 96: 97.35, 96.5: 97.17, 97: 96.92)
afdb sure: Se 97.66 Sp 97.40 (Sp at Se 95: 98.54, 96: 98.34, 96.5: 98.18, 97: 97.96)
mitdb fast: Se 95.64 Sp 85.38 (Sp at Se 95: 87.72, 96: 84.05, 96.5: 80.06, 97: 77.88)
mitdb onset: Se 96.44 Sp 80.23 (Sp at Se 95: 87.72, 96: 84.05, 96.5: 80.06, 97: 77.88)
mitdb sure: Se 96.46 Sp 87.68 (Sp at Se 95: 93.28, 96: 91.22, 96.5: 87.54, 97: 85.81)
nsr2db fast: Sp 99.88
nsr2db onset: Sp 99.58
nsr2db sure: Sp 99.92
fast: 24 onsets seen after 15 beats (median; p90 26)
onset: 24 onsets seen after 12 beats (median; p90 20)
false runs of 2 min or more: 0.000 a day (0 in 10.3 days)
On the records learned from:
afdb fast: Se 97.38 Sp 97.53 (Sp at Se 95: 98.21, 96: 98.02, 96.5: 97.89, 97: 97.71)
afdb onset: Se 98.13 Sp 96.84 (Sp at Se 95: 98.21, 96: 98.02, 96.5: 97.89, 97: 97.71)
afdb sure: Se 97.64 Sp 98.32 (Sp at Se 95: 98.99, 96: 98.83, 96.5: 98.71, 97: 98.56)
mitdb fast: Se 95.86 Sp 91.49 (Sp at Se 95: 93.07, 96: 91.14, 96.5: 89.58, 97: 86.20)
mitdb onset: Se 96.68 Sp 88.52 (Sp at Se 95: 93.07, 96: 91.14, 96.5: 89.58, 97: 86.20)
mitdb sure: Se 97.13 Sp 92.43 (Sp at Se 95: 95.48, 96: 93.33, 96.5: 93.15, 97: 92.63)
nsr2db fast: Sp 100.00
nsr2db onset: Sp 99.98
nsr2db sure: Sp 100.00
fast: 24 onsets seen after 18 beats (median; p90 29)
onset: 24 onsets seen after 15 beats (median; p90 22)
false runs of 2 min or more: 0.000 a day (0 in 10.8 days)
With 3 % merged, 1 % split, 5 % lost:
afdb fast: Se 98.06 Sp 96.61 (Sp at Se 95: 98.13, 96: 97.89, 96.5: 97.72, 97: 97.51)
afdb onset: Se 98.57 Sp 95.30 (Sp at Se 95: 98.13, 96: 97.89, 96.5: 97.72, 97: 97.51)
afdb sure: Se 98.17 Sp 97.65 (Sp at Se 95: 98.94, 96: 98.76, 96.5: 98.64, 97: 98.46)
mitdb fast: Se 96.94 Sp 87.14 (Sp at Se 95: 92.71, 96: 89.99, 96.5: 88.21, 97: 87.03)
mitdb onset: Se 97.44 Sp 82.28 (Sp at Se 95: 92.71, 96: 89.99, 96.5: 88.21, 97: 87.03)
mitdb sure: Se 97.95 Sp 89.62 (Sp at Se 95: 95.39, 96: 93.39, 96.5: 93.15, 97: 92.67)
nsr2db fast: Sp 99.95
nsr2db onset: Sp 99.76
nsr2db sure: Sp 99.96
fast: 23 onsets seen after 15 beats (median; p90 26)
onset: 23 onsets seen after 13 beats (median; p90 20)
false runs of 2 min or more: 0.000 a day (0 in 10.3 days)
Statistics, windows, ridge and thresholds were chosen with the folds in view: their figures are a little optimistic.
Ectopy amid lively sinus rhythm is still taken for AF (MITDB 228: half of it), and so is flutter (203, 222).
Weak where it has seen little: slow regularised AF (paced, or under strong rate control), flutter with changing
conduction, chaotic atrial rhythm; wandering pacemakers and strong sinus arrhythmia can look like AF.
"""

# At and above, a beat counts as AF: at once, for a first alarm at an onset, and 63 beats later.
FAST_THRESHOLD = 0.34
ONSET_THRESHOLD = 0.25
SURE_THRESHOLD = 0.32
# Single-precision numbers, little endian, base 85: `dsp.cardiac.rhythm.Weights`, one after the other.
FLOAT32 = (
    "*02#iCaP9G3oM8}+vXuY_eJi$8`O@yU5|@B^F%T}+1jnW1PB{G>T8@nyMMU6cU>>O^>~s!$9#f5IFfWe=<uFC?H!0dCw(Wr)VU14"
    "l1l_Wp4c3{?cX519gJ5#OFufi;ZbS52D!++m^K@}P+#=D46HmpS#5JZcz};SIFcAX9@Y@QFnEi-PRipwIA3EvOK{-5Rm537q}awj"
    "Q&Jke(%XQ(<*3U&eyN>4v=fj%s_nf#cdMg5^+-;>%2XA;8zdV(2Z1!bNUT4-1Lu1_DTYhDjJAcn-JiX^iv}dV!Ak_b3x%LQ)I6>}"
    "|JuMl9A$An8@UI+GG&52rcseT0omL>9|xH|+!4M$-o_U{Xn2f0N`(c!f+k!(qHpp(lKJpHaa#sI+B^Y2S`{k3Mg6nAgAD>crRbBr"
    "6v~dhhzVjomMbv5VD!Gd2jKv|(6T_jGV2_^S5+FpY<15)yaFOV@E%z{nXec=KBbtx3PBvb+*)ou7^@aOB_hVWP@cR!YyD<EKL2mL"
    "MZoU8%={odXty{%YJ?#^ly6f$&QL`@)>;t0jOyyWbaAacoWrQR>Eo)rdmIZsiyqUvqCgnEgaM(w((2Z|s{g6IZ)xE@q}(PxmBdy)"
    "A%6-!amKv9%$i2M-=mW~Dgr7#S<Xkj<>AgfelCDML=!2!f<`vJ<?Gx$4o*Nm<KrSe$U|N}?h{WwE!RfAELab|4DruBagLh2%+{p5"
    "C!Qic7|$@f%zGNWChC>F9?;mmQWdSe{C?m)+vzAiF_c?ArPvBSEL+dMy5o?&!_b#KLv%hq-=lE7ok!h0c&d*+e$s8d$o)ya448~O"
    "NZV6BO5Hj>T&!?D6X<C^14Vhh-%cmKqC($25L}?V1SqAvBfTp=Sh;k&(vu{;c5aoufS}yHA?&ZcRl=)1K|mKi>XuMGoz(q3^DX1P"
    "Zi}wHZik;eU^-4dbF7ZNV1&;-zUP)cBuk~e--%_uhfyB9vm#YK73MxZMDuYzqiAwI+nJ!g_}x*yATISi0ECac9HNW7T$VUKS;rH*"
    "4;&=Dt(S<sf+E_zoEWUV8m&@205JtVsUAr_@3i?nVg~HKrcR-~0iMl0SxI?5B>EV=<=pZ;7GA49R9m0Dg8o>(fxX(ijS*!&-fvbu"
    "sCIllVj_V)ryRS!pZ09NMiTlxnvavb<>q<3l<hh`fuM-HHTfyMzut<y{?*;RXBDiyE>=W6oD2Is^QlKZkH`Hz)#~fMJ?N~x_<i3!"
    "#2Sr0!T+K=6{rwC=QzVY^<R~}%JV<IzBd@X70h!!4{vimEyjgD_N$IQD0IiZOfP!A15orm9(bg@pSx+iJKZ-v*vbC8%Z)X?@!XZY"
    "Vr%5RBwMY$lA@43|Ii3NomEsm@eU9^(-7pojF^bMKhp|6TT-Mx<Hejky<;>!m0;dJ$V3>u5G@0~!AGyWT&0XYVeXVZZ48(`dq1i^"
    "FsjME>+f^E?0D2Y3e)Di^mmoKzPuzpfl`*dm~m9S%wM*>{aE(BGJUwc&VdubPfmP27|YW=S=<ypjGoCo@%xs(y6#53T<!-wntta!"
    "=(<zA5d>5{CcrU1FD`?<)Sf%O^CJwrD-HBLk`K2%UV9ckKCcEoBM>^i`_mG>0l%|7B|0FySa~$Oc|Qg|NiqaGA~oc^KfXr2a&@A;"
    "f!u<<ura|sh3V-%L~|8BpRu()oy(!V_`VLkq}&WWWAn^Cl#Q~zCOE!5FXu)+r+Q7jm2)?~t{t{KCI1RO-Q~?ac-$*KI0zy>f|U-w"
    "v7P|Fk-MusoMw5v^5cWNidYFg(vl3jfZ+hW!I)gV^VzMvIL?f{f8K08s728|bUGJ4lFGzA@Q0|rau2AzFIk^Fg3s(dm+h9lB=S=|"
    "k!3_acy_P7cwk<>7ahX9!utU}(c;EE!S)_L7HJSZuxMw#CVMQt`{&6$9yJiW_PZdwNnsQ|_zZPBLZs%ro`yQTCHSMgzmtQ#iY4eh"
    "pE?IVj*%%ozFX8i#_g%TFvp6#;311WKg1V40PR-2nmX}4j_Gnf@R3u!f~Z8kd(-4Rs2L$XF;fCQDxpI@&XGYrbsILmGlLVp7OS;A"
    "nx~h%DsYv&iXs#~0f3^rmp2f-chYFRpy9Z^8K#uIG!Yy<2OqaREwK+iVNtR@!oj(|Df7a;KeE0&2MY&2A(@}Of%Q&31_M<-O4;JQ"
    "rv8DxPs~BRQmp|#$_vFkCAJ_wl5rG1r;C)np5j!#stx2lmJiswvEk^uTa_g~q4v!?Z~x-FRVW_4Zmgoc$#a3dzS;dfGqw>vJAyYp"
    "Q(W*pj5MvjotTq63Yq9V<fmFbmQG$gX8aI7*Fup#&*L(^JRC*7|DpCgm#;WJOy?Xv8FyPgTaj8mbVOgiwAd=X5`w@zuH~$}$LOHE"
    "WI!H10FKeS%xoLI2c>GgOhCZB-kX`dr5w#Y-<SD4P^%$6frQvS3b~fP=57bQ4SXU!U1#Y%TPT0M4ym3!6@NcIc(q8qzb-Al`R|`R"
    "JvIqGsfX1)-iawbD`Fo$^ZXLNT{{83`o*a|@(^sidN6>zqCf;b0`C#K?1TWlj^|~)M@p@|?#Yb3Xaeg!!}<n355g%v>B-kUI;^g~"
    "@GtYc0Qz@5&qftKD|CXrgH6;us4r<gU>tzGH5OIAeKCPNf@~T-=Zo<@*+D!$SG+Pl*ug@+^HCeV&>_P;lihy2AA^Lv%SIVKDiY+n"
    "dY}lsrQT${Ucj}z3&xVYaVzva?+Xh)^FcH|THEP8!SuGiyGsVSAOX!ijqFlBHzqK=IIR0UUzdwM%PWh$qhDyg1qa|eDpD>!5jze("
    "$%IipkzGqZm?VL|t?EC%Lw4IehU$yFhb4u)mc%SRzU2eEOT`kslM_|Fd1k!5T)dXOSrNfK@2mMeb-^z_cSZ0$eEYS&rH*X7nLX@1"
    "X+?NG0B-9%-0TWI5!0VOxmSz5)lE^p<7;-jy1hF-oO~)iJxX3a;4x%A9LAQuC@@sMM7G;K3A2*Cir{9vJ6S9~ARw^20w5i|AI)IB"
    "hMd8@7KxX=#K_`3BH;i&5o|X;+dT(9i^r?J)7o`Bd^Hk2;t-cUdS~Z7y_qjQ@x#A9Mz;67_0R^s;BWT3@)%=21U_j#<8XsMN~n@P"
    "S$3bk617ymOE9%P>8snk<fo3j-RcxRNJx^r14=)=15TH{Gy>MWdjO-o$n7Y>"
)
