!> Line search for a step that satisfies the strong Wolfe conditions.
!>
!> J. J. Moré, D. J. Thuente, ACM Trans. Math. Softw. 20, 286 (1994): the interval [x, y] always holds
!> a minimiser; each trial is a safeguarded cubic or quadratic step.  Reverse communication: the state
!> is a plain array, the caller evaluates the function.
module tf_line_search
   use tf_kinds, only : wp
   implicit none
   private
   public :: start_search, continue_search, n_search_state, longest_step

   ! Sufficient decrease, curvature, relative width of the interval at which the search gives up:
   ! the values L-BFGS-B 3.0 (and so ænet) uses
   real(wp), parameter :: decrease = 1.0e-3_wp, curvature = 0.9_wp, narrow = 0.1_wp
   real(wp), parameter :: shrink = 0.66_wp, extrapolate_least = 1.1_wp, extrapolate_most = 4.0_wp
   !> No step is longer than this many times the direction
   real(wp), parameter :: longest_step = 1.0e10_wp

   !> Length of the state array
   integer, parameter :: n_search_state = 16
   ! Places in the state array
   integer, parameter :: f_start = 1, g_start = 2, step_x = 3, f_x = 4, g_x = 5, step_y = 6, f_y = 7, &
      g_y = 8, least = 9, most = 10, width = 11, width_before = 12, bracketed = 13, stage = 14

contains

   !> Begin at step 0 with value f and slope g < 0
   pure subroutine start_search(f, g, step, state)
      !> Value and slope at the start
      real(wp), intent(in) :: f, g
      !> First trial step
      real(wp), intent(in) :: step
      real(wp), intent(out) :: state(n_search_state)

      state = 0.0_wp
      state(f_start) = f
      state(g_start) = g
      state(f_x) = f
      state(g_x) = g
      state(f_y) = f
      state(g_y) = g
      state(most) = step + extrapolate_most*step
      state(width) = longest_step
      state(width_before) = 2.0_wp*longest_step
      state(stage) = 1.0_wp
   end subroutine start_search

   !> Take value f and slope g at `step`; either it is acceptable, or give the next trial
   pure subroutine continue_search(f, g, step, state, accepted, failed)
      !> Value and slope at the trial step
      real(wp), intent(in) :: f, g
      !> Trial step in, next trial step out
      real(wp), intent(inout) :: step
      real(wp), intent(inout) :: state(n_search_state)
      !> Strong Wolfe conditions hold at the incoming step
      logical, intent(out) :: accepted
      !> Rounding prevents progress; the step of the best value so far is returned
      logical, intent(out) :: failed
      real(wp) :: g_test, f_test
      logical :: in_bracket

      in_bracket = state(bracketed) > 0.5_wp
      g_test = decrease*state(g_start)
      f_test = state(f_start) + step*g_test
      accepted = f <= f_test .and. abs(g) <= curvature*abs(state(g_start))
      failed = .false.
      if (accepted) return
      if ((in_bracket .and. (step <= state(least) .or. step >= state(most))) .or. &
         (in_bracket .and. state(most) - state(least) <= narrow*state(most)) .or. &
         (step >= longest_step .and. f <= f_test .and. g <= g_test) .or. &
         .not. (abs(f) <= huge(f))) then
         ! A non-finite value lies beyond the range of the model: halve instead of giving up
         if (.not. (abs(f) <= huge(f)) .and. .not. in_bracket) then
            step = 0.1_wp*step
            state(most) = 5.0_wp*step
            return
         end if
         failed = .true.
         step = state(step_x)
         return
      end if

      ! Until a step with sufficient decrease and non-negative slope is seen, the search works on
      ! the auxiliary function psi(step) = f(step) - f(0) - decrease·step·g(0)
      if (state(stage) < 1.5_wp .and. f <= f_test .and. g >= min(decrease, curvature)*state(g_start)) then
        state(stage) = 2.0_wp
      end if
      if (state(stage) < 1.5_wp .and. f <= state(f_x) .and. f > f_test) then
         call trial_step_of_psi(f, g, g_test, step, state, in_bracket)
      else
         call trial_step(state(step_x), state(f_x), state(g_x), state(step_y), state(f_y), state(g_y), &
            step, f, g, in_bracket, state(least), state(most))
      end if
      state(bracketed) = merge(1.0_wp, 0.0_wp, in_bracket)

      if (in_bracket) then
         if (abs(state(step_y) - state(step_x)) >= shrink*state(width_before)) then
           step = state(step_x) + 0.5_wp*(state(step_y) - state(step_x))
         end if
         state(width_before) = state(width)
         state(width) = abs(state(step_y) - state(step_x))
         state(least) = min(state(step_x), state(step_y))
         state(most) = max(state(step_x), state(step_y))
      else
         state(least) = step + extrapolate_least*(step - state(step_x))
         state(most) = step + extrapolate_most*(step - state(step_x))
      end if
      step = min(max(step, 0.0_wp), longest_step)
      if (in_bracket .and. (step <= state(least) .or. step >= state(most) .or. &
         state(most) - state(least) <= narrow*state(most))) step = state(step_x)
   end subroutine continue_search

   !> A trial step for ψ, the value less the line of sufficient decrease
   pure subroutine trial_step_of_psi(f, g, g_test, step, state, in_bracket)
      !> Value and slope at the trial step; slope of the line that is subtracted from the values
      real(wp), intent(in) :: f, g, g_test
      real(wp), intent(inout) :: step, state(n_search_state)
      logical, intent(inout) :: in_bracket
      real(wp) :: fx, gx, fy, gy

      fx = state(f_x) - state(step_x)*g_test
      fy = state(f_y) - state(step_y)*g_test
      gx = state(g_x) - g_test
      gy = state(g_y) - g_test
      call trial_step(state(step_x), fx, gx, state(step_y), fy, gy, step, f - step*g_test, g - g_test, &
         in_bracket, state(least), state(most))
      state(f_x) = fx + state(step_x)*g_test
      state(f_y) = fy + state(step_y)*g_test
      state(g_x) = gx + g_test
      state(g_y) = gy + g_test
   end subroutine trial_step_of_psi

   !> Section 4 of the paper: choose the next trial and update the interval
   pure subroutine trial_step(x, fx, gx, y, fy, gy, step, f, g, in_bracket, step_least, step_most)
      !> Best step so far and the other end of the interval
      real(wp), intent(inout) :: x, fx, gx, y, fy, gy
      real(wp), intent(inout) :: step
      real(wp), intent(in) :: f, g
      logical, intent(inout) :: in_bracket
      real(wp), intent(in) :: step_least, step_most
      real(wp) :: theta, s, gamma, p, q, r, cubic, quadratic, new, direction

      direction = g*sign(1.0_wp, gx)
      if (f > fx) then
         ! Case 1: higher value, the minimum is bracketed
         theta = 3.0_wp*(fx - f)/(step - x) + gx + g
         s = max(abs(theta), abs(gx), abs(g))
         gamma = s*sqrt(max(0.0_wp, (theta/s)**2 - (gx/s)*(g/s)))
         if (step < x) gamma = -gamma
         p = (gamma - gx) + theta
         q = ((gamma - gx) + gamma) + g
         r = p/q
         cubic = x + r*(step - x)
         quadratic = x + ((gx/((fx - f)/(step - x) + gx))/2.0_wp)*(step - x)
         if (abs(cubic - x) < abs(quadratic - x)) then
            new = cubic
         else
            new = cubic + (quadratic - cubic)/2.0_wp
         end if
         in_bracket = .true.
      else if (direction < 0.0_wp) then
         ! Case 2: lower value, slopes of opposite sign
         theta = 3.0_wp*(fx - f)/(step - x) + gx + g
         s = max(abs(theta), abs(gx), abs(g))
         gamma = s*sqrt(max(0.0_wp, (theta/s)**2 - (gx/s)*(g/s)))
         if (step > x) gamma = -gamma
         p = (gamma - g) + theta
         q = ((gamma - g) + gamma) + gx
         r = p/q
         cubic = step + r*(x - step)
         quadratic = step + (g/(g - gx))*(x - step)
         new = merge(cubic, quadratic, abs(cubic - step) > abs(quadratic - step))
         in_bracket = .true.
      else if (abs(g) < abs(gx)) then
         ! Case 3: lower value, slopes of the same sign, slope decreases
         theta = 3.0_wp*(fx - f)/(step - x) + gx + g
         s = max(abs(theta), abs(gx), abs(g))
         gamma = s*sqrt(max(0.0_wp, (theta/s)**2 - (gx/s)*(g/s)))
         if (step > x) gamma = -gamma
         p = (gamma - g) + theta
         q = (gamma + (gx - g)) + gamma
         r = p/q
         if (r < 0.0_wp .and. gamma /= 0.0_wp) then
            cubic = step + r*(x - step)
         else
            cubic = merge(step_most, step_least, step > x)
         end if
         quadratic = step + (g/(g - gx))*(x - step)
         if (in_bracket) then
            new = merge(cubic, quadratic, abs(cubic - step) < abs(quadratic - step))
            if (step > x) then
               new = min(step + shrink*(y - step), new)
            else
               new = max(step + shrink*(y - step), new)
            end if
         else
            new = merge(cubic, quadratic, abs(cubic - step) > abs(quadratic - step))
            new = max(step_least, min(step_most, new))
         end if
      else
         ! Case 4: lower value, slopes of the same sign, slope does not decrease
         if (in_bracket) then
            theta = 3.0_wp*(f - fy)/(y - step) + gy + g
            s = max(abs(theta), abs(gy), abs(g))
            gamma = s*sqrt(max(0.0_wp, (theta/s)**2 - (gy/s)*(g/s)))
            if (step > y) gamma = -gamma
            p = (gamma - g) + theta
            q = ((gamma - g) + gamma) + gy
            r = p/q
            new = step + r*(y - step)
         else
            new = merge(step_most, step_least, step > x)
         end if
      end if

      if (f > fx) then
         y = step
         fy = f
         gy = g
      else
         if (direction < 0.0_wp) then
            y = x
            fy = fx
            gy = gx
         end if
         x = step
         fx = f
         gx = g
      end if
      step = new
   end subroutine trial_step

end module tf_line_search
