"""stub"""
LAGS = 7
BEAT = (20, 16)
FAST_WINDOWS = ((5, 0), (11, 0), (23, 0), (47, 0), (95, 0), (191, 0))
SURE_WINDOWS = ((11, 0), (0, 11), (31, 0), (0, 31), (63, 0), (0, 63), (8, 8), (24, 24), (63, 63), (191, 63))
E = BEAT[1]
SHAPES = {
    "beat1_w": (LAGS + 1, BEAT[0]), "beat1_b": (BEAT[0],),
    "beat2_w": BEAT, "beat2_b": (E,),
    "fast1_w": (E * len(FAST_WINDOWS), 16), "fast1_b": (16,), "fast2_w": (16, 8), "fast2_b": (8,), "fast3_w": (8, 1), "fast3_b": (1,),
    "sure1_w": (E * len(SURE_WINDOWS), 16), "sure1_b": (16,), "sure2_w": (16, 8), "sure2_b": (8,), "sure3_w": (8, 1), "sure3_b": (1,),
}
